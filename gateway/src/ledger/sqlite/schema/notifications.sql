-- Who is told of the ends of runs: of all runs of a principal, and of one run.
CREATE TABLE receivers(
    principal TEXT NOT NULL, issuer TEXT NOT NULL, address TEXT NOT NULL, created INTEGER NOT NULL,
    PRIMARY KEY(principal, issuer, address)
) WITHOUT ROWID;
CREATE TABLE run_receivers(run TEXT NOT NULL, address TEXT NOT NULL, PRIMARY KEY(run, address)) WITHOUT ROWID;
-- What is told, written with the end that it tells of.
CREATE TABLE notifications(
    run TEXT NOT NULL, n INTEGER NOT NULL,   -- the step that was the end
    address TEXT NOT NULL, principal TEXT NOT NULL, issuer TEXT NOT NULL,
    made INTEGER NOT NULL, due INTEGER NOT NULL, tries INTEGER NOT NULL,
    ended INTEGER NOT NULL,                  -- 0 = it waits
    state TEXT NOT NULL, problem TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY(run, n, address)
) WITHOUT ROWID;
CREATE INDEX notifications_due ON notifications(due) WHERE ended = 0;
CREATE INDEX notifications_waiting ON notifications(ended, made, due) WHERE ended = 0;
CREATE INDEX notifications_ended ON notifications(ended) WHERE ended > 0;
CREATE INDEX notifications_principal ON notifications(principal, issuer, made, run, n, address);
-- By what webhooks of a principal are signed: the secrets are made of the salt and of a key of the gateway.
CREATE TABLE signing(
    principal TEXT NOT NULL, issuer TEXT NOT NULL, salt TEXT NOT NULL, made INTEGER NOT NULL,
    shown INTEGER NOT NULL,                  -- 0 = not yet
    before TEXT NOT NULL, before_until INTEGER NOT NULL,
    PRIMARY KEY(principal, issuer)
) WITHOUT ROWID;
