machine.wait_for_unit("multi-user.target")
machine.wait_for_unit("postgresql.service")
machine.wait_for_unit("mysql.service")
machine.wait_for_unit("vault.service")
make_repository(machine)
machine.wait_until_succeeds("sudo -u postgres psql -tAc 'SELECT 1' outline || runuser -u postgres -- psql -tAc 'SELECT 1' outline", timeout=60)
machine.succeed(
    "runuser -u outline -- psql -c \"CREATE TABLE documents AS SELECT n AS id, 'page ' || n AS text FROM generate_series(1, 5000) n\" outline",
    "mariadb -e \"CREATE TABLE shop.goods (id INT PRIMARY KEY, name TEXT); INSERT INTO shop.goods VALUES (1, 'tea'), (2, 'coffee')\"",
)

with subtest("databases are found and saved by a confined unit"):
    back_up(machine)
    listing = machine.succeed(f"hearth-backup ls latest -R {RESTORE}")
    for path in ["outline.dump", "shop.sql", "vault.db"]:
        assert path in listing, listing
    assert "vault.db-wal" not in listing
    machine.require_unit_state("counter.service")
    unit_says(machine, "counter.service", "Stopp")

with subtest("a lost PostgreSQL database comes back with its rows and its owner"):
    machine.succeed("runuser -u postgres -- psql -c 'DROP DATABASE outline'")
    machine.succeed(f"hearth-backup restore-db latest outline {RESTORE}")
    assert machine.succeed("runuser -u outline -- psql -tAc 'SELECT count(*), max(id) FROM documents' outline") == "5000|5000\n"

with subtest("a lost MariaDB database comes back"):
    machine.succeed("mariadb -e 'DROP DATABASE shop'")
    machine.succeed(f"hearth-backup restore-db latest shop {RESTORE}")
    assert machine.succeed("mariadb -N -e 'SELECT name FROM shop.goods ORDER BY id'") == "tea\ncoffee\n"

with subtest("a lost SQLite database comes back as of one moment, to its service's user"):
    machine.succeed("systemctl stop vault.service && rm /var/lib/private/vault/vault.db*")
    machine.succeed(f"hearth-backup restore-db latest /var/lib/private/vault/vault.db {RESTORE}")
    assert machine.succeed("sqlite3 /var/lib/private/vault/vault.db 'SELECT sum(coins), count(*) FROM purse'") == "100|10\n"
    machine.succeed("systemctl start vault.service")
    machine.wait_until_succeeds("test -e /var/lib/private/vault/vault.db-wal")

with subtest("a dump in directory format needs no more than the unit may do, and leaves nothing behind"):
    back_up(machine, "parallel")
    machine.succeed("runuser -u postgres -- psql -c 'DROP DATABASE outline'")
    machine.succeed(f"hearth-backup restore-db latest outline {RESTORE} --job parallel")
    assert machine.succeed("runuser -u outline -- psql -tAc 'SELECT count(*), max(id) FROM documents' outline") == "5000|5000\n"
    left = machine.succeed("find /var/lib/hearth-backup -path '*scratch*' -type f")
    assert left == "", left

with subtest("a database whose service was killed in the middle is saved as a whole too"):
    machine.succeed("systemctl kill --signal=KILL vault.service; systemctl stop vault.service; test -s /var/lib/private/vault/vault.db-wal")
    before = machine.succeed("sha256sum /var/lib/private/vault/*")
    back_up(machine)
    assert machine.succeed("sha256sum /var/lib/private/vault/*") == before, "what is saved is not written to"
    machine.succeed(f"hearth-backup dump latest /var/lib/private/vault/vault.db {RESTORE} > /tmp/vault.db")
    assert machine.succeed("sqlite3 /tmp/vault.db 'PRAGMA integrity_check; SELECT sum(coins) FROM purse'") == "ok\n100\n"
    machine.succeed("systemctl start vault.service")

with subtest("an unchanged database is not dumped into the repository once more"):
    back_up(machine)
    assert len(snapshots(machine)) == 4
