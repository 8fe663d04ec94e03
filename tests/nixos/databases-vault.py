"""A service that moves a hundred coins between ten purses, so that every moment's copy adds up to a hundred."""

import random
import sqlite3
import time

database = sqlite3.connect("/var/lib/vault/vault.db", timeout=60, isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE IF NOT EXISTS purse (id INTEGER PRIMARY KEY, coins INTEGER)")
if not database.execute("SELECT count(*) FROM purse").fetchone()[0]:
    database.executemany("INSERT INTO purse (coins) VALUES (?)", [(10,)] * 10)
while True:
    one, other = random.sample(range(1, 11), 2)
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE purse SET coins = coins - 1 WHERE id = ?", (one,))
    database.execute("UPDATE purse SET coins = coins + 1 WHERE id = ?", (other,))
    database.execute("COMMIT")
    time.sleep(0.01)
