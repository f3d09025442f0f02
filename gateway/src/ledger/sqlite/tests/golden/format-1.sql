-- A ledger as the first version wrote it: one run ended well, one with r(9), two were running.
BEGIN TRANSACTION;
CREATE TABLE agents(agent_id TEXT PRIMARY KEY, seen INTEGER NOT NULL, info BLOB NOT NULL);
INSERT INTO "agents" VALUES('01a20499-002c-73a1-8689-a81577d8fc2f',1795373465687,X'0A2430316132303439392D303032632D373361312D383638392D613831353737643866633266122430316132303439392D303033642D373765312D616231332D6563653365626166633138651A2436316532326634612D353939392D346331622D623262642D6261356362643537303261382202766D2A16687474703A2F2F3132372E302E302E313A33333034373205302E312E3038014204726F6F744A02766D50025A02766D6008680872200A077374616E64696E12152F686F6D652F6164612F626E2F6C6F6E676861756C8A01152F686F6D652F6164612F676F6C64656E2F686F6D6598018080F195B501');
CREATE TABLE keys(
    principal TEXT NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY(principal, key)
) WITHOUT ROWID;
INSERT INTO "keys" VALUES('root','golden-key','01a20499-184b-75e1-a314-4812878e1740','a3df0621603466786fea7695cff7ebf626cf288d9ae5def0fd6917612f8e2484');
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cluster_id','01a20498-ffcf-7434-886e-663c3a48478d');
CREATE TABLE runs(
    run TEXT PRIMARY KEY,                -- UUIDv7: the order of names is the order of time
    tail TEXT NOT NULL,                  -- the short form
    principal TEXT NOT NULL,
    state TEXT NOT NULL,
    cause TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    steps INTEGER NOT NULL,              -- rows in transitions
    agent_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pool TEXT NOT NULL,
    created INTEGER NOT NULL,            -- Unix ms, as all times here
    finished INTEGER NOT NULL,           -- 0 = not yet
    delivered INTEGER NOT NULL,          -- 0 = not yet
    cancel_by TEXT,
    cancel_at INTEGER,
    cancel_mode TEXT,
    shape TEXT NOT NULL,                 -- what makes two requests equal, but for their code
    code TEXT NOT NULL,                  -- digest of the code; empty = nobody looked
    spool_held INTEGER NOT NULL,         -- an agent keeps the spool and the mirror is whole
    detail TEXT NOT NULL                 -- JSON: what no query asks for
);
INSERT INTO "runs" VALUES('01a20499-184b-75e1-a314-4812878e1740','878e1740','root','succeeded','completed',1,4,'01a20499-002c-73a1-8689-a81577d8fc2f','vm','vm',1795373471819,1795373472017,0,NULL,NULL,NULL,'64cd4769bb0d84a377d1cb71cfbbbcdf902b1a90a5d3ab705edefdafd1c35e13','2ffaff1b7973e6f66aeb9785dc54ad8abd569e09eeea7a5ffd2b2aa3977f68f0',1,'{"source":"text","args":[],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":0,"queue_timeout_ms":0,"traceparent":"00-bde8ee5edd1ecf6a9b162773a116a7d8-334788d6a62cc6d3-01","started_ms":1795373471887,"running_ms":1795373471897,"rc":null,"message":"","command":"","location":null,"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/home/ada/golden/data/agent/runs/01a20499-184b-75e1-a314-4812878e1740/work","code_sha256":"2ffaff1b7973e6f66aeb9785dc54ad8abd569e09eeea7a5ffd2b2aa3977f68f0","view":{"start":1021,"end":1077},"log_len":1253,"log_sha256":"9ad9474a74b1350a8dec9d8fe665473f9f4e6389673c9b7b7fb79e6c225469b2","console_len":0,"console_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","complete":true,"duration_ms":25,"note":"run by the stand-in: Stata''s manners, no statistics package","leftovers":[],"artifacts":[],"ended_by":"","imported":false}');
INSERT INTO "runs" VALUES('01a20499-1fbc-747b-8c2d-fdfac1c32618','c1c32618','root','failed','stata_error',1,4,'01a20499-002c-73a1-8689-a81577d8fc2f','vm','vm',1795373473724,1795373473915,0,NULL,NULL,NULL,'2b632c2334f91c8776348564ad5a95326ccbb82e9d131659a403f3982b29f981','eb4e87d61f9e3b2bc92800a2cd22da794e1c677302631ee810fb16d3e320c432',1,'{"source":"text","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":0,"queue_timeout_ms":0,"traceparent":"00-dcb7912fe76a7c0b72b86545fde5e709-761ce07e90a074d4-01","started_ms":1795373473822,"running_ms":1795373473837,"rc":9,"message":"assertion is false","command":"error 9","location":{"file":"the submitted code","line":2,"callers":[]},"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/home/ada/golden/data/agent/runs/01a20499-1fbc-747b-8c2d-fdfac1c32618/work","code_sha256":"eb4e87d61f9e3b2bc92800a2cd22da794e1c677302631ee810fb16d3e320c432","view":{"start":1032,"end":1116},"log_len":1138,"log_sha256":"f31cde7c0517edbc50ba825f702baa29f7fd27a0cf8e10555be70fac777a9e71","console_len":0,"console_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","complete":true,"duration_ms":22,"note":"run by the stand-in: Stata''s manners, no statistics package","leftovers":[],"artifacts":[],"ended_by":"","imported":false}');
INSERT INTO "runs" VALUES('01a20499-259a-7311-918e-5dff3c4447a1','3c4447a1','root','running','first_output',1,3,'01a20499-002c-73a1-8689-a81577d8fc2f','vm','vm',1795373475226,0,0,'root',1795373481412,'break','64cd4769bb0d84a377d1cb71cfbbbcdf902b1a90a5d3ab705edefdafd1c35e13','928439cad8431aa3f80092c92ce77447fe725cf4f303fc4458983e40d014062e',0,'{"source":"text","args":[],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":0,"queue_timeout_ms":0,"traceparent":"00-fe9e1e468b8ee601f31d73dc3c2735c4-9e2d78098be8b7f9-01","started_ms":1795373475336,"running_ms":1795373475370,"rc":null,"message":"","command":"","location":null,"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/home/ada/golden/data/agent/runs/01a20499-259a-7311-918e-5dff3c4447a1/work","code_sha256":"928439cad8431aa3f80092c92ce77447fe725cf4f303fc4458983e40d014062e","view":null,"log_len":0,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":false}');
INSERT INTO "runs" VALUES('01a20499-29b3-77da-9d1c-b36c72d25937','72d25937','root','running','first_output',1,3,'01a20499-002c-73a1-8689-a81577d8fc2f','vm','vm',1795373476275,0,0,NULL,NULL,NULL,'64cd4769bb0d84a377d1cb71cfbbbcdf902b1a90a5d3ab705edefdafd1c35e13','2d6489b38dc7262f0eda6e43d58e32ca66e1052e1b8a90ea9b420c1e090dd8c4',0,'{"source":"text","args":[],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":0,"queue_timeout_ms":0,"traceparent":"00-cb0e99049af56541029a8ed254d3ae09-28d96d5df8ea1194-01","started_ms":0,"running_ms":1795373476362,"rc":null,"message":"","command":"","location":null,"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/home/ada/golden/data/agent/runs/01a20499-29b3-77da-9d1c-b36c72d25937/work","code_sha256":"2d6489b38dc7262f0eda6e43d58e32ca66e1052e1b8a90ea9b420c1e090dd8c4","view":null,"log_len":0,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":false}');
CREATE TABLE submissions(run TEXT PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO "submissions" VALUES('01a20499-184b-75e1-a314-4812878e1740',X'0A2430316132303439392D313834622D373565312D613331342D3438313238373865313734301204726F6F741A0A676F6C64656E2D6B65792A1A646973706C617920226F6E65220A646973706C617920322B320A7A390A3730302D62646538656535656464316563663661396231363237373361313136613764382D333334373838643661363263633664332D30318A010B6375726C2F372E38382E319001CBB0E4A4A0349A012430316132303439382D666663662D373433342D383836652D363633633361343834373864');
INSERT INTO "submissions" VALUES('01a20499-1fbc-747b-8c2d-fdfac1c32618',X'0A2430316132303439392D316662632D373437622D386332642D6664666163316333323631381204726F6F742A19646973706C617920226265666F7265220A6572726F7220390A3A04323032343A036120627A390A3730302D64636237393132666537366137633062373262383635343566646535653730392D373631636530376539306130373464342D30318A010B6375726C2F372E38382E319001BCBFE4A4A0349A012430316132303439382D666663662D373433342D383836652D363633633361343834373864');
INSERT INTO "submissions" VALUES('01a20499-259a-7311-918e-5dff3c4447a1',X'0A2430316132303439392D323539612D373331312D393138652D3564666633633434343761311204726F6F742A1A646973706C617920227570220A736C656570203630303030300A7A390A3730302D66653965316534363862386565363031663331643733646333633237333563342D396532643738303938626538623766392D30318A010B6375726C2F372E38382E3190019ACBE4A4A0349A012430316132303439382D666663662D373433342D383836652D363633633361343834373864');
INSERT INTO "submissions" VALUES('01a20499-29b3-77da-9d1c-b36c72d25937',X'0A2430316132303439392D323962332D373764612D396431632D6233366337326432353933371204726F6F742A27646973706C617920227570220A736C65657020383030300A646973706C617920226F766572220A7A390A3730302D63623065393930343961663536353431303239613865643235346433616530392D323864393664356466386561313139342D30318A010B6375726C2F372E38382E319001B3D3E4A4A0349A012430316132303439382D666663662D373433342D383836652D363633633361343834373864');
CREATE TABLE tokens(
    name TEXT PRIMARY KEY, principal TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE, scope TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER, revoked INTEGER
);
INSERT INTO "tokens" VALUES('local-0d08ae0b','root','0d08ae0baeba1cb16661bf9dd63ecd5b6fd3e002de3c9eac49deb700884064d8','operate',1795373465624,NULL,NULL);
CREATE TABLE transitions(
    run TEXT NOT NULL, n INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, attempt INTEGER NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY(run, n)
) WITHOUT ROWID;
INSERT INTO "transitions" VALUES('01a20499-184b-75e1-a314-4812878e1740',0,'queued','submitted',0,1795373471819);
INSERT INTO "transitions" VALUES('01a20499-184b-75e1-a314-4812878e1740',1,'starting','dispatched',1,1795373471823);
INSERT INTO "transitions" VALUES('01a20499-184b-75e1-a314-4812878e1740',2,'running','first_output',1,1795373471896);
INSERT INTO "transitions" VALUES('01a20499-184b-75e1-a314-4812878e1740',3,'succeeded','completed',1,1795373472017);
INSERT INTO "transitions" VALUES('01a20499-1fbc-747b-8c2d-fdfac1c32618',0,'queued','submitted',0,1795373473724);
INSERT INTO "transitions" VALUES('01a20499-1fbc-747b-8c2d-fdfac1c32618',1,'starting','dispatched',1,1795373473733);
INSERT INTO "transitions" VALUES('01a20499-1fbc-747b-8c2d-fdfac1c32618',2,'running','first_output',1,1795373473838);
INSERT INTO "transitions" VALUES('01a20499-1fbc-747b-8c2d-fdfac1c32618',3,'failed','stata_error',1,1795373473915);
INSERT INTO "transitions" VALUES('01a20499-259a-7311-918e-5dff3c4447a1',0,'queued','submitted',0,1795373475226);
INSERT INTO "transitions" VALUES('01a20499-259a-7311-918e-5dff3c4447a1',1,'starting','dispatched',1,1795373475228);
INSERT INTO "transitions" VALUES('01a20499-259a-7311-918e-5dff3c4447a1',2,'running','first_output',1,1795373475370);
INSERT INTO "transitions" VALUES('01a20499-29b3-77da-9d1c-b36c72d25937',0,'queued','submitted',0,1795373476275);
INSERT INTO "transitions" VALUES('01a20499-29b3-77da-9d1c-b36c72d25937',1,'starting','dispatched',1,1795373476281);
INSERT INTO "transitions" VALUES('01a20499-29b3-77da-9d1c-b36c72d25937',2,'running','first_output',1,1795373476362);
CREATE INDEX runs_active ON runs(run) WHERE state IN ('queued', 'starting', 'running');
CREATE INDEX runs_tail ON runs(tail);
CREATE INDEX runs_principal ON runs(principal, run);
CREATE INDEX runs_principal_state ON runs(principal, state, run);
CREATE INDEX runs_state ON runs(state, run);
CREATE INDEX runs_shape ON runs(shape, run);
CREATE INDEX runs_finished ON runs(finished) WHERE finished > 0;
CREATE INDEX runs_spool ON runs(agent_id, finished) WHERE spool_held = 1;
CREATE INDEX keys_run ON keys(run);
COMMIT;
PRAGMA user_version = 1;
