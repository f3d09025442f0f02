-- A ledger as the last version wrote it that had no blobs: code and bundles are in the rows of their submissions. A run of a
-- text, one of a bundle and one that failed have ended; a fourth goes on, and a bundle waits.
BEGIN TRANSACTION;
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('cluster_id','01a21a11-0136-74f1-85dd-e5d788b4699f');
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
, whole INTEGER NOT NULL DEFAULT 1, issuer TEXT NOT NULL DEFAULT 'local', owner TEXT NOT NULL DEFAULT '', owner_epoch INTEGER NOT NULL DEFAULT 0, changed INTEGER NOT NULL DEFAULT 0);
INSERT INTO runs VALUES('01a21a11-6863-767e-b19a-b1ddcad5360f','cad5360f','root','succeeded','completed',1,4,'01a21a11-13ef-72a9-ba38-ba3f0b13bb74','stata1','stata1',1795733678179,1795733680132,1795733686514,NULL,NULL,NULL,'2b632c2334f91c8776348564ad5a95326ccbb82e9d131659a403f3982b29f981','692155dc6033ab718dd09f31f55bec8e0c2aa9ee0be3790e97badb08d49e5158',1,'{"source":"text","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":0,"queue_timeout_ms":0,"waited_ms":0,"waited_for":"","traceparent":"00-3e96e16575324ebd5368626117a2e2b5-eb623df78b991d6e-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":1795733679287,"started_ms":1795733679055,"host_running_ms":1795733679215,"host_ended_ms":1795733679335,"rc":null,"message":"","command":"","location":null,"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/var/lib/longhaul/agent/runs/01a21a11-6863-767e-b19a-b1ddcad5360f/work","code_sha256":"692155dc6033ab718dd09f31f55bec8e0c2aa9ee0be3790e97badb08d49e5158","view":{"start":1014,"end":1047,"safe_end":1047},"log_len":1218,"log_sha256":"e77c53ca4df76e9513ee9b00de18973d4e84bb036a12b3e7a4ebffa3e68c2a11","console_len":0,"console_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","complete":true,"told":{"log_len":1218,"console_len":0},"duration_ms":48,"note":"run by the stand-in: Stata''s manners, no statistics package","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0,"max_rss_bytes":12587008},"imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',1,'local','01a21a11-0934-71cb-b360-2bdedd95688a',1,19);
INSERT INTO runs VALUES('01a21a11-69ac-74fc-825d-b93e82600ee4','82600ee4','root','succeeded','completed',1,4,'01a21a11-13ef-72a9-ba38-ba3f0b13bb74','stata1','stata1',1795733678508,1795733681135,1795733686514,NULL,NULL,NULL,'c0b4b93085e4b4c2a7e71d2c71d9e4e20a8aba55f18b35696eaed6b207ef9f6f','5ab624946a7d1405f4af641000205c4642e045e3a800c6f09f2faf71a18058f5',1,'{"source":"bundle: main.do","args":[],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","found_sha256":"","client":"curl/7.88.1","timeout_ms":0,"queue_timeout_ms":0,"waited_ms":1356,"waited_for":"waiting for a seat of pool stata1: 1 of 1 in use by run cad5360f on stata1","traceparent":"00-b48339b9297ba6899134f8e047b5005b-2dafdeb3e6688076-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":1795733680666,"started_ms":1795733680471,"host_running_ms":1795733680602,"host_ended_ms":1795733680731,"rc":null,"message":"","command":"","location":null,"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/var/lib/longhaul/agent/runs/01a21a11-69ac-74fc-825d-b93e82600ee4/work","code_sha256":"3fb0d2d17521c88158a3f0af64a728f591dea4202a0cbb4ff5e121aef8474f32","view":{"start":1003,"end":1086,"safe_end":1086},"log_len":1257,"log_sha256":"2b0db5594d5e6867be2a5e661966358c747a91780b5b86bb4aede82dff74cfaa","console_len":0,"console_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","complete":true,"told":{"log_len":1257,"console_len":0},"duration_ms":60,"note":"run by the stand-in: Stata''s manners, no statistics package","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0,"max_rss_bytes":12595200},"imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',1,'local','01a21a11-0934-71cb-b360-2bdedd95688a',1,18);
INSERT INTO runs VALUES('01a21a11-6aa4-76ea-8f86-d3c0047d042e','047d042e','root','failed','stata_error',1,4,'01a21a11-13ef-72a9-ba38-ba3f0b13bb74','stata1','stata1',1795733678756,1795733682391,1795733686514,NULL,NULL,NULL,'64cd4769bb0d84a377d1cb71cfbbbcdf902b1a90a5d3ab705edefdafd1c35e13','d4569ae7953ef8d3a00cf7c7a5d40d4ee3615850747eac47eceb51505e115d72',1,'{"source":"text","args":[],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":0,"queue_timeout_ms":0,"waited_ms":2235,"waited_for":"waiting for a seat of pool stata1: 1 of 1 in use by run cad5360f on stata1","traceparent":"00-855b8470298b492b83167b2ff3aa4293-2fb6af80c257823b-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":1795733681940,"started_ms":1795733681723,"host_running_ms":1795733681874,"host_ended_ms":1795733682010,"rc":9,"message":"assertion is false","command":"error 9","location":{"file":"the submitted code","line":2,"callers":[]},"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/var/lib/longhaul/agent/runs/01a21a11-6aa4-76ea-8f86-d3c0047d042e/work","code_sha256":"d4569ae7953ef8d3a00cf7c7a5d40d4ee3615850747eac47eceb51505e115d72","view":{"start":1003,"end":1075,"safe_end":1075},"log_len":1097,"log_sha256":"94cfa3a21c802bf59df477d9c3bc7976067eff5c65ee0251028b81d7ad4aaad2","console_len":0,"console_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","complete":true,"told":{"log_len":1097,"console_len":0},"duration_ms":45,"note":"run by the stand-in: Stata''s manners, no statistics package","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0,"max_rss_bytes":12566528},"imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',1,'local','01a21a11-0934-71cb-b360-2bdedd95688a',1,17);
INSERT INTO runs VALUES('01a21a11-7b70-7011-93fe-61c9e1d8ea0c','e1d8ea0c','root','running','first_output',1,3,'01a21a11-13ef-72a9-ba38-ba3f0b13bb74','stata1','stata1',1795733683056,0,0,NULL,NULL,NULL,'64cd4769bb0d84a377d1cb71cfbbbcdf902b1a90a5d3ab705edefdafd1c35e13','e2ab0a33254bc31a07400631a692c79648de008795fbea04cbb788d4b8f64553',0,'{"source":"text","args":[],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","client":"curl","timeout_ms":0,"queue_timeout_ms":0,"waited_ms":0,"waited_for":"","traceparent":"00-a2efda00e4deb8829a11f1836d076f76-a85eae0c9bf19a0b-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":1795733683987,"started_ms":1795733683783,"host_running_ms":0,"host_ended_ms":0,"rc":null,"message":"","command":"","location":null,"engine":"standin","engine_note":"stand-in: Stata''s manners, no statistics package","working_dir":"/var/lib/longhaul/agent/runs/01a21a11-7b70-7011-93fe-61c9e1d8ea0c/work","code_sha256":"e2ab0a33254bc31a07400631a692c79648de008795fbea04cbb788d4b8f64553","view":null,"log_len":0,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',0,'local','01a21a11-0934-71cb-b360-2bdedd95688a',1,15);
INSERT INTO runs VALUES('01a21a11-8440-725c-968a-b79de11a7ec5','e11a7ec5','root','queued','submitted',0,1,'','','',1795733685312,0,0,NULL,NULL,NULL,'1ca3fac9d072ccc69c1fee9f0b80ec960c29bfa40a31d6dd296d4f57e280a4c9','b92aad7d5b0e98969ccc66aa873dff841bbcdfd9f8b323373949d078ee2f4185',0,'{"source":"bundle: waits.do","args":[],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":0,"queue_timeout_ms":0,"waited_ms":0,"waited_for":"","traceparent":"00-c358f2c8ecd970050fe58589aa9b3bb5-bb0c1da09cab7cc6-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":0,"started_ms":0,"host_running_ms":0,"host_ended_ms":0,"rc":null,"message":"","command":"","location":null,"engine":"","engine_note":"","working_dir":"","code_sha256":"","view":null,"log_len":0,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',1,'local','01a21a11-0934-71cb-b360-2bdedd95688a',1,16);
CREATE TABLE submissions(run TEXT PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO submissions VALUES('01a21a11-6863-767e-b19a-b1ddcad5360f',X'0a2430316132316131312d363836332d373637652d623139612d6231646463616435333630661204726f6f741a0a676f6c64656e2d6b65792a0a646973706c617920310a3a04323032343a036120627a390a3730302d33653936653136353735333234656264353336383632363131376132653262352d656236323364663738623939316436652d30318a010b6375726c2f372e38382e319001e3d0c5d0a1349a012430316132316131312d303133362d373466312d383564642d653564373838623436393966a2014034336636393137353231613834656565333733393930663032396562326435366434323036393537633437363664333262316465383963613366333131663366a80102');
INSERT INTO submissions VALUES('01a21a11-69ac-74fc-825d-b93e82600ee4',X'0a2430316132316131312d363961632d373466632d383235642d6239336538323630306565341204726f6f7432460a190a0a6c69622f6f6e652e646f120b646973706c61792031310a0a200a076d61696e2e646f1215646f206c69622f6f6e650a646973706c617920320a12076d61696e2e646f7a390a3730302d62343833333962393239376261363839393133346638653034376235303035622d326461666465623365363638383037362d30318a010b6375726c2f372e38382e319001acd3c5d0a1349a012430316132316131312d303133362d373466312d383564642d653564373838623436393966a2014033303962633936323934383539323161346466356137653938643334613234666562663333616338626230633938376466333939323737353432343532666661a80102');
INSERT INTO submissions VALUES('01a21a11-6aa4-76ea-8f86-d3c0047d042e',X'0a2430316132316131312d366161342d373665612d386638362d6433633030343764303432651204726f6f742a12646973706c617920310a6572726f7220390a7a390a3730302d38353562383437303239386234393262383331363762326666336161343239332d326662366166383063323537383233622d30318a010b6375726c2f372e38382e319001a4d5c5d0a1349a012430316132316131312d303133362d373466312d383564642d653564373838623436393966a2014036333630313739666663653235313363643764633630616661316530646139386133336336656436326433393333663465656431623437626432363631663535a80102');
INSERT INTO submissions VALUES('01a21a11-7b70-7011-93fe-61c9e1d8ea0c',X'0a2430316132316131312d376237302d373031312d393366652d3631633965316438656130631204726f6f742a0d736c656570203630303030300a7a390a3730302d61326566646130306534646562383832396131316631383336643037366637362d613835656165306339626631396130622d30318a01046375726c9001f0f6c5d0a1349a012430316132316131312d303133362d373466312d383564642d653564373838623436393966a2014032323030646239376330346437623735643933623734393761613532373835373230663134383235666666333834366433306233346637656539616237396338a80102');
INSERT INTO submissions VALUES('01a21a11-8440-725c-968a-b79de11a7ec5',X'0a2430316132316131312d383434302d373235632d393638612d6237396465313161376563351204726f6f7432220a160a0877616974732e646f120a646973706c617920350a120877616974732e646f7a390a3730302d63333538663263386563643937303035306665353835383961613962336262352d626230633164613039636162376363362d30318a010b6375726c2f372e38382e319001c088c6d0a1349a012430316132316131312d303133362d373466312d383564642d653564373838623436393966a2014030343438346261333035393166653239613433366365616637666230343333643638326632643366393636353063353262616438316538653065643137663661a80102');
CREATE TABLE transitions(
    run TEXT NOT NULL, n INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, attempt INTEGER NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY(run, n)
) WITHOUT ROWID;
INSERT INTO transitions VALUES('01a21a11-6863-767e-b19a-b1ddcad5360f',0,'queued','submitted',0,1795733678179);
INSERT INTO transitions VALUES('01a21a11-6863-767e-b19a-b1ddcad5360f',1,'starting','dispatched',1,1795733678372);
INSERT INTO transitions VALUES('01a21a11-6863-767e-b19a-b1ddcad5360f',2,'running','first_output',1,1795733679287);
INSERT INTO transitions VALUES('01a21a11-6863-767e-b19a-b1ddcad5360f',3,'succeeded','completed',1,1795733680132);
INSERT INTO transitions VALUES('01a21a11-69ac-74fc-825d-b93e82600ee4',0,'queued','submitted',0,1795733678508);
INSERT INTO transitions VALUES('01a21a11-69ac-74fc-825d-b93e82600ee4',1,'starting','dispatched',1,1795733679864);
INSERT INTO transitions VALUES('01a21a11-69ac-74fc-825d-b93e82600ee4',2,'running','first_output',1,1795733680666);
INSERT INTO transitions VALUES('01a21a11-69ac-74fc-825d-b93e82600ee4',3,'succeeded','completed',1,1795733681135);
INSERT INTO transitions VALUES('01a21a11-6aa4-76ea-8f86-d3c0047d042e',0,'queued','submitted',0,1795733678756);
INSERT INTO transitions VALUES('01a21a11-6aa4-76ea-8f86-d3c0047d042e',1,'starting','dispatched',1,1795733680991);
INSERT INTO transitions VALUES('01a21a11-6aa4-76ea-8f86-d3c0047d042e',2,'running','first_output',1,1795733681940);
INSERT INTO transitions VALUES('01a21a11-6aa4-76ea-8f86-d3c0047d042e',3,'failed','stata_error',1,1795733682391);
INSERT INTO transitions VALUES('01a21a11-7b70-7011-93fe-61c9e1d8ea0c',0,'queued','submitted',0,1795733683056);
INSERT INTO transitions VALUES('01a21a11-7b70-7011-93fe-61c9e1d8ea0c',1,'starting','dispatched',1,1795733683219);
INSERT INTO transitions VALUES('01a21a11-7b70-7011-93fe-61c9e1d8ea0c',2,'running','first_output',1,1795733683987);
INSERT INTO transitions VALUES('01a21a11-8440-725c-968a-b79de11a7ec5',0,'queued','submitted',0,1795733685312);
CREATE TABLE tokens(
    name TEXT PRIMARY KEY, principal TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE, scope TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER, revoked INTEGER
, issuer TEXT NOT NULL DEFAULT 'local');
INSERT INTO tokens VALUES('local-ad22fa8f','root','ad22fa8fa095e22c6f021229915360e3248184532641e8d1cd58007d0178a206','operate',1795733652527,NULL,NULL,'local');
CREATE TABLE agents(agent_id TEXT PRIMARY KEY, seen INTEGER NOT NULL, info BLOB NOT NULL);
CREATE TABLE memos(
    kind TEXT NOT NULL, name TEXT NOT NULL, principal TEXT NOT NULL, created INTEGER NOT NULL, body TEXT NOT NULL, issuer TEXT NOT NULL DEFAULT 'local',
    PRIMARY KEY(kind, name)
) WITHOUT ROWID;
CREATE TABLE drains(host TEXT PRIMARY KEY, by TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE removed(run TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pins(
    key TEXT PRIMARY KEY,                -- SHA-256 of the public key, hex
    agent_id TEXT NOT NULL, name TEXT NOT NULL,
    state TEXT NOT NULL,                 -- accepted, waiting, revoked
    at INTEGER NOT NULL, by TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "keys"(
    principal TEXT NOT NULL, issuer TEXT NOT NULL DEFAULT 'local', key TEXT NOT NULL, run TEXT NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY(principal, issuer, key)
) WITHOUT ROWID;
INSERT INTO keys VALUES('root','local','golden-key','01a21a11-6863-767e-b19a-b1ddcad5360f','43f6917521a84eee373990f029eb2d56d4206957c4766d32b1de89ca3f311f3f');
CREATE TABLE attempts(
    run TEXT NOT NULL, number INTEGER NOT NULL,
    agent_id TEXT NOT NULL, host TEXT NOT NULL, pool TEXT NOT NULL, -- empty = not known any more
    given INTEGER NOT NULL,
    ended INTEGER NOT NULL,              -- 0 = not yet
    state TEXT NOT NULL, cause TEXT NOT NULL, -- of the step that ended it; empty = not yet
    PRIMARY KEY(run, number)
) WITHOUT ROWID;
INSERT INTO attempts VALUES('01a21a11-6863-767e-b19a-b1ddcad5360f',1,'01a21a11-13ef-72a9-ba38-ba3f0b13bb74','stata1','stata1',1795733678372,1795733680132,'succeeded','completed');
INSERT INTO attempts VALUES('01a21a11-69ac-74fc-825d-b93e82600ee4',1,'01a21a11-13ef-72a9-ba38-ba3f0b13bb74','stata1','stata1',1795733679864,1795733681135,'succeeded','completed');
INSERT INTO attempts VALUES('01a21a11-6aa4-76ea-8f86-d3c0047d042e',1,'01a21a11-13ef-72a9-ba38-ba3f0b13bb74','stata1','stata1',1795733680991,1795733682391,'failed','stata_error');
INSERT INTO attempts VALUES('01a21a11-7b70-7011-93fe-61c9e1d8ea0c',1,'01a21a11-13ef-72a9-ba38-ba3f0b13bb74','stata1','stata1',1795733683219,0,'','');
CREATE TABLE leases(
    kind TEXT NOT NULL, holder TEXT NOT NULL, attempt INTEGER NOT NULL,
    agent_id TEXT NOT NULL, host TEXT NOT NULL, pool TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY(kind, holder)
) WITHOUT ROWID;
INSERT INTO leases VALUES('run','01a21a11-7b70-7011-93fe-61c9e1d8ea0c',1,'01a21a11-13ef-72a9-ba38-ba3f0b13bb74','stata1','stata1',1795733683219);
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES('changes',19);
INSERT INTO counters VALUES('epoch',1);
CREATE INDEX runs_active ON runs(run) WHERE state IN ('queued', 'starting', 'running');
CREATE INDEX runs_tail ON runs(tail);
CREATE INDEX runs_state ON runs(state, run);
CREATE INDEX runs_shape ON runs(shape, run);
CREATE INDEX runs_finished ON runs(finished) WHERE finished > 0;
CREATE INDEX runs_spool ON runs(agent_id, finished) WHERE spool_held = 1;
CREATE INDEX memos_created ON memos(created);
CREATE INDEX removed_at ON removed(at);
CREATE INDEX runs_principal ON runs(principal, issuer, run);
CREATE INDEX runs_principal_state ON runs(principal, issuer, state, run);
CREATE INDEX keys_run ON keys(run);
CREATE INDEX runs_changed ON runs(changed);
COMMIT;
PRAGMA user_version = 7;
