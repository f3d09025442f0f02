-- A ledger as the last version wrote it that had no rows of attempts and leases: attempts that never started, died, were lost,
-- ended, and go on; a run that was found in a spool; principals of two issuers.
BEGIN TRANSACTION;
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('cluster_id','01a20498-ffcf-7434-886e-663c3a48478d');
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
, whole INTEGER NOT NULL DEFAULT 1, issuer TEXT NOT NULL DEFAULT 'local');
INSERT INTO runs VALUES('01a204a0-0000-7000-8000-000000000001','00000001','ann','succeeded','completed',2,6,'agent-2','stata2','lab',1795373480010,1795373485010,1795373485015,NULL,NULL,NULL,'shape 1','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',1,'{"source":"/home/ann/project/run1.do","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":"/home/ann/project/run1.do","wanted_dir":"/home/ann/project","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":3600000,"queue_timeout_ms":60000,"waited_ms":0,"waited_for":"","traceparent":"00-e0679e40ced4bfa05a9d47a5a34cf5a5-3bc77a6e7b1c53c5-01","queued_ms":1795373482010,"queue_limit_from_ms":0,"running_ms":1795373484010,"started_ms":0,"host_running_ms":1795373484005,"host_ended_ms":0,"rc":null,"message":"","command":"","location":null,"engine":"stata","engine_note":"StataMP 19","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","view":{"start":40,"end":null,"safe_end":90},"log_len":120,"log_sha256":"abababababababababababababababababababababababababababababababab","console_len":3,"console_sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","complete":true,"told":{"log_len":120,"console_len":3},"duration_ms":900,"note":"","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0},"imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',1,'local');
INSERT INTO runs VALUES('01a204a0-0000-7000-8000-000000000002','00000002','ann','running','first_output',2,6,'agent-2','stata2','lab',1795373480020,0,0,NULL,NULL,NULL,'shape 2','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',0,'{"source":"/home/ann/project/run2.do","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":"/home/ann/project/run2.do","wanted_dir":"/home/ann/project","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":3600000,"queue_timeout_ms":60000,"waited_ms":0,"waited_for":"","traceparent":"00-e0679e40ced4bfa05a9d47a5a34cf5a5-3bc77a6e7b1c53c5-01","queued_ms":1795373483020,"queue_limit_from_ms":0,"running_ms":1795373485020,"started_ms":0,"host_running_ms":1795373485015,"host_ended_ms":0,"rc":null,"message":"","command":"","location":null,"engine":"stata","engine_note":"StataMP 19","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","view":{"start":40,"end":null,"safe_end":90},"log_len":70,"log_sha256":"","console_len":3,"console_sha256":"","complete":false,"duration_ms":null,"note":"","conditions":{"earlier_attempts":"attempt 1 on stata1 died: killed by signal 9; the first 70 bytes of the output are from before attempt 2"},"leftovers":[],"artifacts":[],"ended_by":"","imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_proven_dead","earlier":[{"attempt":1,"agent_id":"agent-1","host":"stata1","how":"killed by signal 9","log_len":70,"log_sha256":"abababababababababababababababababababababababababababababababab","console_len":3,"console_sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","complete":true,"view":{"start":40,"end":null,"safe_end":90},"pool":"lab","execution":{"started_ms":0,"running_ms":1795373482020,"host_running_ms":1795373482015,"host_ended_ms":0,"duration_ms":900,"engine":"stata","engine_note":"StataMP 19","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0}}}],"log_base":70,"console_base":3}',0,'local');
INSERT INTO runs VALUES('01a204a0-0000-7000-8000-000000000003','00000003','ann','queued','returned',1,3,'agent-1','stata1','lab',1795373480030,0,0,NULL,NULL,NULL,'shape 3','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',0,'{"source":"/home/ann/project/run3.do","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":"/home/ann/project/run3.do","wanted_dir":"/home/ann/project","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":3600000,"queue_timeout_ms":60000,"waited_ms":0,"waited_for":"","traceparent":"00-e0679e40ced4bfa05a9d47a5a34cf5a5-3bc77a6e7b1c53c5-01","queued_ms":1795373482030,"queue_limit_from_ms":0,"running_ms":0,"started_ms":0,"host_running_ms":0,"host_ended_ms":0,"rc":null,"message":"","command":"","location":null,"engine":"","engine_note":"","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","view":null,"log_len":0,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',0,'idp');
INSERT INTO runs VALUES('01a204a0-0000-7000-8000-000000000004','00000004','ann','lost','declared_dead',1,4,'agent-3','stata3','lab',1795373480040,1795373483040,0,NULL,NULL,NULL,'shape 4','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',0,'{"source":"/home/ann/project/run4.do","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":"/home/ann/project/run4.do","wanted_dir":"/home/ann/project","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":3600000,"queue_timeout_ms":60000,"waited_ms":0,"waited_for":"","traceparent":"00-e0679e40ced4bfa05a9d47a5a34cf5a5-3bc77a6e7b1c53c5-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":1795373482040,"started_ms":0,"host_running_ms":1795373482035,"host_ended_ms":0,"rc":null,"message":"root declared agent stata3 dead","command":"","location":null,"engine":"stata","engine_note":"StataMP 19","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","view":{"start":40,"end":null,"safe_end":90},"log_len":50,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',0,'local');
INSERT INTO runs VALUES('01a204a0-0000-7000-8000-000000000005','00000005','','running','first_output',3,1,'agent-2','stata2','lab',1795373480050,0,0,NULL,NULL,NULL,'shape 5','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',0,'{"source":"text","args":[],"need":{"host":"","labels":{},"engine":""},"path":null,"wanted_dir":"","wanted_sha256":"","client":"","timeout_ms":0,"queue_timeout_ms":0,"waited_ms":0,"waited_for":"","traceparent":"","queued_ms":0,"queue_limit_from_ms":0,"running_ms":0,"started_ms":0,"host_running_ms":0,"host_ended_ms":0,"rc":null,"message":"","command":"","location":null,"engine":"","engine_note":"","working_dir":"","code_sha256":"","view":null,"log_len":0,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":true,"unverified":true,"claims":"bob","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',1,'local');
INSERT INTO runs VALUES('01a204a0-0000-7000-8000-000000000006','00000006','ann','cancelled','cancel_requested',1,4,'agent-1','stata1','lab',1795373480060,1795373483060,0,'ann',1795373482061,'break','shape 6','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',1,'{"source":"/home/ann/project/run6.do","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":"/home/ann/project/run6.do","wanted_dir":"/home/ann/project","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":3600000,"queue_timeout_ms":60000,"waited_ms":0,"waited_for":"","traceparent":"00-e0679e40ced4bfa05a9d47a5a34cf5a5-3bc77a6e7b1c53c5-01","queued_ms":1795373482060,"queue_limit_from_ms":0,"running_ms":0,"started_ms":0,"host_running_ms":0,"host_ended_ms":0,"rc":null,"message":"","command":"","location":null,"engine":"","engine_note":"","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","view":null,"log_len":0,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',0,'local');
INSERT INTO runs VALUES('01a204a0-0000-7000-8000-000000000007','00000007','ann','queued','submitted',0,1,'','','',1795373480070,0,0,NULL,NULL,NULL,'shape 7','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',0,'{"source":"/home/ann/project/run7.do","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":"/home/ann/project/run7.do","wanted_dir":"/home/ann/project","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":3600000,"queue_timeout_ms":60000,"waited_ms":0,"waited_for":"","traceparent":"00-e0679e40ced4bfa05a9d47a5a34cf5a5-3bc77a6e7b1c53c5-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":0,"started_ms":0,"host_running_ms":0,"host_ended_ms":0,"rc":null,"message":"","command":"","location":null,"engine":"","engine_note":"","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","view":null,"log_len":0,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',1,'local');
INSERT INTO runs VALUES('01a204a0-0000-7000-8000-000000000008','00000008','ann','errored','killed',3,10,'agent-1','stata1','lab',1795373480080,1795373489080,0,NULL,NULL,NULL,'shape 8','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',1,'{"source":"/home/ann/project/run8.do","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":"/home/ann/project/run8.do","wanted_dir":"/home/ann/project","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":3600000,"queue_timeout_ms":60000,"waited_ms":0,"waited_for":"","traceparent":"00-e0679e40ced4bfa05a9d47a5a34cf5a5-3bc77a6e7b1c53c5-01","queued_ms":1795373486080,"queue_limit_from_ms":0,"running_ms":1795373488080,"started_ms":0,"host_running_ms":1795373488075,"host_ended_ms":0,"rc":null,"message":"killed by signal 9","command":"","location":null,"engine":"stata","engine_note":"StataMP 19","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","view":{"start":40,"end":null,"safe_end":90},"log_len":250,"log_sha256":"abababababababababababababababababababababababababababababababab","console_len":3,"console_sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","complete":true,"told":{"log_len":50,"console_len":3},"duration_ms":900,"note":"","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0},"imported":false,"unverified":false,"claims":"","contested":["agent stata2 says succeeded"],"retry":"if_proven_dead","earlier":[{"attempt":1,"agent_id":"agent-1","host":"stata1","how":"host rebooted","log_len":100,"log_sha256":"abababababababababababababababababababababababababababababababab","console_len":3,"console_sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","complete":true,"view":{"start":40,"end":null,"safe_end":90},"pool":"lab","execution":{"started_ms":0,"running_ms":1795373482080,"host_running_ms":1795373482075,"host_ended_ms":0,"duration_ms":900,"engine":"stata","engine_note":"StataMP 19","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0}}},{"attempt":2,"agent_id":"agent-2","host":"stata2","how":"host rebooted","log_len":100,"log_sha256":"abababababababababababababababababababababababababababababababab","console_len":3,"console_sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","complete":false,"view":{"start":40,"end":null,"safe_end":90},"pool":"lab","base":{"log_len":100,"console_len":3},"execution":{"started_ms":0,"running_ms":1795373485080,"host_running_ms":1795373485075,"host_ended_ms":0,"duration_ms":900,"engine":"stata","engine_note":"StataMP 19","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","leftovers":[],"artifacts":[],"ended_by":"","process":{"exit_code":0}}}],"log_base":200,"console_base":3}',1,'local');
INSERT INTO runs VALUES('01a204a0-0000-7000-8000-000000000009','00000009','ann','starting','dispatched',1,2,'agent-1','stata1','lab',1795373480090,0,0,NULL,NULL,NULL,'shape 9','0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',0,'{"source":"/home/ann/project/run9.do","args":["2024","a b"],"need":{"host":"","labels":{},"engine":""},"path":"/home/ann/project/run9.do","wanted_dir":"/home/ann/project","wanted_sha256":"","client":"curl/7.88.1","timeout_ms":3600000,"queue_timeout_ms":60000,"waited_ms":0,"waited_for":"","traceparent":"00-e0679e40ced4bfa05a9d47a5a34cf5a5-3bc77a6e7b1c53c5-01","queued_ms":0,"queue_limit_from_ms":0,"running_ms":0,"started_ms":0,"host_running_ms":0,"host_ended_ms":0,"rc":null,"message":"","command":"","location":null,"engine":"","engine_note":"","working_dir":"/home/ann/project","code_sha256":"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c","view":null,"log_len":0,"log_sha256":"","console_len":0,"console_sha256":"","complete":false,"duration_ms":null,"note":"","leftovers":[],"artifacts":[],"ended_by":"","imported":false,"unverified":false,"claims":"","contested":[],"retry":"if_not_started","earlier":[],"log_base":0,"console_base":0}',0,'local');
CREATE TABLE submissions(run TEXT PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO submissions VALUES('01a204a0-0000-7000-8000-000000000001',X'0a2430316132303461302d303030302d373030302d383030302d3030303030303030303030311203616e6e22192f686f6d652f616e6e2f70726f6a6563742f72756e312e646f');
INSERT INTO submissions VALUES('01a204a0-0000-7000-8000-000000000002',X'0a2430316132303461302d303030302d373030302d383030302d3030303030303030303030321203616e6e22192f686f6d652f616e6e2f70726f6a6563742f72756e322e646f');
INSERT INTO submissions VALUES('01a204a0-0000-7000-8000-000000000003',X'0a2430316132303461302d303030302d373030302d383030302d3030303030303030303030331203616e6e22192f686f6d652f616e6e2f70726f6a6563742f72756e332e646fba0103696470');
INSERT INTO submissions VALUES('01a204a0-0000-7000-8000-000000000004',X'0a2430316132303461302d303030302d373030302d383030302d3030303030303030303030341203616e6e22192f686f6d652f616e6e2f70726f6a6563742f72756e342e646f');
INSERT INTO submissions VALUES('01a204a0-0000-7000-8000-000000000005',X'0a2430316132303461302d303030302d373030302d383030302d303030303030303030303035220474657874');
INSERT INTO submissions VALUES('01a204a0-0000-7000-8000-000000000006',X'0a2430316132303461302d303030302d373030302d383030302d3030303030303030303030361203616e6e22192f686f6d652f616e6e2f70726f6a6563742f72756e362e646f');
INSERT INTO submissions VALUES('01a204a0-0000-7000-8000-000000000007',X'0a2430316132303461302d303030302d373030302d383030302d3030303030303030303030371203616e6e22192f686f6d652f616e6e2f70726f6a6563742f72756e372e646f');
INSERT INTO submissions VALUES('01a204a0-0000-7000-8000-000000000008',X'0a2430316132303461302d303030302d373030302d383030302d3030303030303030303030381203616e6e22192f686f6d652f616e6e2f70726f6a6563742f72756e382e646f');
INSERT INTO submissions VALUES('01a204a0-0000-7000-8000-000000000009',X'0a2430316132303461302d303030302d373030302d383030302d3030303030303030303030391203616e6e22192f686f6d652f616e6e2f70726f6a6563742f72756e392e646f');
CREATE TABLE transitions(
    run TEXT NOT NULL, n INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, attempt INTEGER NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY(run, n)
) WITHOUT ROWID;
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000001',0,'queued','submitted',0,1795373480010);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000001',1,'starting','dispatched',1,1795373481010);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000001',2,'queued','returned',1,1795373482010);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000001',3,'starting','dispatched',2,1795373483010);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000001',4,'running','first_output',2,1795373484010);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000001',5,'succeeded','completed',2,1795373485010);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000002',0,'queued','submitted',0,1795373480020);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000002',1,'starting','dispatched',1,1795373481020);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000002',2,'running','first_output',1,1795373482020);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000002',3,'queued','proven_dead',1,1795373483020);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000002',4,'starting','dispatched',2,1795373484020);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000002',5,'running','first_output',2,1795373485020);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000003',0,'queued','submitted',0,1795373480030);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000003',1,'starting','dispatched',1,1795373481030);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000003',2,'queued','returned',1,1795373482030);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000004',0,'queued','submitted',0,1795373480040);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000004',1,'starting','dispatched',1,1795373481040);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000004',2,'running','first_output',1,1795373482040);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000004',3,'lost','declared_dead',1,1795373483040);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000005',0,'running','first_output',3,1795373480050);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000006',0,'queued','submitted',0,1795373480060);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000006',1,'starting','dispatched',1,1795373481060);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000006',2,'queued','returned',1,1795373482060);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000006',3,'cancelled','cancel_requested',1,1795373483060);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000007',0,'queued','submitted',0,1795373480070);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',0,'queued','submitted',0,1795373480080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',1,'starting','dispatched',1,1795373481080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',2,'running','first_output',1,1795373482080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',3,'queued','proven_dead',1,1795373483080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',4,'starting','dispatched',2,1795373484080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',5,'running','first_output',2,1795373485080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',6,'queued','proven_dead',2,1795373486080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',7,'starting','dispatched',3,1795373487080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',8,'running','first_output',3,1795373488080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000008',9,'errored','killed',3,1795373489080);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000009',0,'queued','submitted',0,1795373480090);
INSERT INTO transitions VALUES('01a204a0-0000-7000-8000-000000000009',1,'starting','dispatched',1,1795373481090);
CREATE TABLE tokens(
    name TEXT PRIMARY KEY, principal TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE, scope TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER, revoked INTEGER
, issuer TEXT NOT NULL DEFAULT 'local');
INSERT INTO tokens VALUES('laptop','ann','1111111111111111111111111111111111111111111111111111111111111111','use',1795373480000,NULL,NULL,'local');
INSERT INTO tokens VALUES('sso','ann','2222222222222222222222222222222222222222222222222222222222222222','use',1795373480000,NULL,NULL,'idp');
CREATE TABLE agents(agent_id TEXT PRIMARY KEY, seen INTEGER NOT NULL, info BLOB NOT NULL);
INSERT INTO agents VALUES('agent-1',1795373579000,X'0a076167656e742d3122067374617461315a036c61626002');
CREATE TABLE memos(
    kind TEXT NOT NULL, name TEXT NOT NULL, principal TEXT NOT NULL, created INTEGER NOT NULL, body TEXT NOT NULL, issuer TEXT NOT NULL DEFAULT 'local',
    PRIMARY KEY(kind, name)
) WITHOUT ROWID;
INSERT INTO memos VALUES('call','n','ann',1795373480000,'{}','local');
CREATE TABLE drains(host TEXT PRIMARY KEY, by TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO drains VALUES('stata3','local:root','kernel',1795373480000);
CREATE TABLE removed(run TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pins(
    key TEXT PRIMARY KEY,                -- SHA-256 of the public key, hex
    agent_id TEXT NOT NULL, name TEXT NOT NULL,
    state TEXT NOT NULL,                 -- accepted, waiting, revoked
    at INTEGER NOT NULL, by TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO pins VALUES('0707070707070707070707070707070707070707070707070707070707070707','agent-1','stata1','accepted',1795373480000,'join secret');
CREATE TABLE IF NOT EXISTS "keys"(
    principal TEXT NOT NULL, issuer TEXT NOT NULL DEFAULT 'local', key TEXT NOT NULL, run TEXT NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY(principal, issuer, key)
) WITHOUT ROWID;
INSERT INTO keys VALUES('ann','idp','claudecode/toolUseId:t3:ab','01a204a0-0000-7000-8000-000000000003','');
INSERT INTO keys VALUES('ann','local','golden-key','01a204a0-0000-7000-8000-000000000001','body');
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
COMMIT;
PRAGMA user_version = 6;
