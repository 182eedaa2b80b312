-- The history file of schema 2, as it was published; never changed.
PRAGMA application_id = 1735422563;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE conversation (
            key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
            kernel TEXT NOT NULL, run TEXT NOT NULL, notebook TEXT NOT NULL, head TEXT,
            created REAL NOT NULL, updated REAL NOT NULL
        );
INSERT INTO "conversation" VALUES(1,'c1','отчёт','kernel-1','run1','a.ipynb','t3',1700000000.5,1700000300.25);
INSERT INTO "conversation" VALUES(2,'c2','other','kernel-1','run1','',NULL,1700000001.0,1700000001.0);
CREATE TABLE run (
            id TEXT PRIMARY KEY, kernel TEXT NOT NULL, host TEXT NOT NULL,
            pid INTEGER NOT NULL, started TEXT NOT NULL
        ) WITHOUT ROWID;
INSERT INTO "run" VALUES('run1','kernel-1','host',1,'boot 1');
CREATE TABLE turn (
            seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, conversation INTEGER NOT NULL,
            checksum BLOB NOT NULL, parent TEXT, state TEXT NOT NULL, model TEXT NOT NULL,
            backend TEXT NOT NULL, error TEXT NOT NULL, replaced INTEGER NOT NULL,
            created REAL NOT NULL, elapsed REAL NOT NULL, run TEXT NOT NULL, extra TEXT NOT NULL,
            prompt TEXT NOT NULL, reply TEXT NOT NULL
        );
INSERT INTO "turn" VALUES(1,'t1',1,X'525D429956414BA06CACC8D2D55E988B324E3EC3B2894ECBB685D69AAF358D39',NULL,'complete','gemini-1.5-pro','demo','',0,1700000100.0,1.5,'run1','{"usage": {"total": 3}}','Сколько будет 2+2?','Четыре.');
INSERT INTO "turn" VALUES(2,'t2',1,X'BFC2BB22379E2900EE378158761724560712D8BF6DC4101059A1A54F3BE0475E','t1','interrupted','m','demo','IdleTimeout: the reply fell silent',2,1700000200.0,60.25,'run1','{}','old branch','cut');
INSERT INTO "turn" VALUES(3,'t3',1,X'2E61F100F2FA19B34783E56222E738BFD17132F6241C56A25FA5B65F33214558','t1','failed','m','demo','ConnectError: no connection',0,1700000300.0,0.0,'run1','{}','new branch','');
INSERT INTO "turn" VALUES(4,'t4',2,X'E067194902BE93130611F75F3A8237BE5E172A92E86827DE811F5F522D5ED8A1','','unverified','','','',0,1700000001.0,0.125,'run1','{}','a ''quoted''
line','x');
CREATE TABLE unindexed (seq INTEGER PRIMARY KEY);
INSERT INTO "unindexed" VALUES(1);
INSERT INTO "unindexed" VALUES(2);
INSERT INTO "unindexed" VALUES(3);
INSERT INTO "unindexed" VALUES(4);
CREATE INDEX turn_by_conversation ON turn (conversation);
COMMIT;
