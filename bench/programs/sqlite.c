/* SPDX-License-Identifier: MIT */
/*
 * sqlite.c: a database in memory: COUNT thousand rows in transactions of 1000, indexes, joins, updates,
 * deletes. With epochs SQLite takes its memory from the library, and the database lives in an epoch
 * that ends with it.
 */
#include <sqlite3.h>

#include "program.h"

static sqlite3 *db;

static void check(int status, int wanted)
{
	if (status != wanted)
		program_die("sqlite", db ? sqlite3_errmsg(db) : sqlite3_errstr(status));
}

static void run(const char *sql)
{
	check(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* The first row's columns, printed. */
static void ask(const char *sql)
{
	sqlite3_stmt *statement;
	const char *comma = "";

	check(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	while (sqlite3_step(statement) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(statement); i++, comma = ", ")
			printf("%s%s", comma, (const char *)sqlite3_column_text(statement, i));
	printf("\n");
	check(sqlite3_finalize(statement), SQLITE_OK);
}

/* Deterministic, and spread as keys of a real table would be. */
static uint64_t mix(uint64_t n)
{
	n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
	n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
	return n ^ (n >> 31);
}

static void insert_thousand(unsigned long thousand)
{
	sqlite3_stmt *user, *order;
	char text[128];

	run("BEGIN");
	check(sqlite3_prepare_v2(db, "INSERT INTO user VALUES (?, ?, ?, ?)", -1, &user, NULL),
	      SQLITE_OK);
	check(sqlite3_prepare_v2(db, "INSERT INTO orders VALUES (NULL, ?, ?, ?)", -1, &order, NULL),
	      SQLITE_OK);
	for (unsigned long n = thousand * 1000; n < thousand * 1000 + 1000; n++) {
		uint64_t random = mix(n);
		int length =
			snprintf(text, sizeof(text), "user-%016llx@example.org %.*s",
				 (unsigned long long)random, (int)(random % 60),
				 "the quick brown fox jumps over the lazy dog, and over it again.");

		sqlite3_bind_int64(user, 1, (sqlite3_int64)n);
		sqlite3_bind_text(user, 2, text, length, SQLITE_TRANSIENT);
		sqlite3_bind_int(user, 3, (int)(random % 97));
		sqlite3_bind_double(user, 4, (double)(random % 100000) / 100);
		check(sqlite3_step(user), SQLITE_DONE);
		sqlite3_reset(user);
		sqlite3_bind_int64(order, 1, (sqlite3_int64)(random % (n + 1)));
		sqlite3_bind_text(order, 2, text, 12, SQLITE_TRANSIENT);
		sqlite3_bind_int(order, 3, (int)(random >> 40 & 0xffff));
		check(sqlite3_step(order), SQLITE_DONE);
		sqlite3_reset(order);
	}
	check(sqlite3_finalize(user), SQLITE_OK);
	check(sqlite3_finalize(order), SQLITE_OK);
	run("COMMIT");
}

static void use_database(unsigned long thousands)
{
	check(sqlite3_open(":memory:", &db), SQLITE_OK);
	run("PRAGMA temp_store = MEMORY;"
	    "CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT, city INT, balance REAL);"
	    "CREATE TABLE orders (id INTEGER PRIMARY KEY, user INT, item TEXT, amount INT)");
	for (unsigned long i = 0; i < thousands; i++)
		insert_thousand(i);
	run("CREATE INDEX by_name ON user (name); CREATE INDEX by_user ON orders (user, amount)");
	ask("SELECT count(*), sum(amount), count(DISTINCT user) FROM orders");
	ask("SELECT city, count(*) AS n, sum(o.amount) FROM user u JOIN orders o ON o.user = u.id "
	    "GROUP BY city ORDER BY n DESC, city LIMIT 5");
	ask("SELECT count(*) FROM user WHERE name LIKE '%fox%' AND id IN (SELECT user FROM orders)");
	ask("SELECT group_concat(name, '') FROM (SELECT name FROM user ORDER BY balance, id LIMIT 20)");
	run("BEGIN; UPDATE user SET name = upper(name) || city WHERE city % 3 = 0;"
	    "DELETE FROM orders WHERE amount < 8192; COMMIT");
	ask("SELECT count(*), sum(length(name)) FROM user JOIN orders ON orders.user = user.id");
	check(sqlite3_close(db), SQLITE_OK);
	db = NULL;
}

/* -- memory methods ----------------------------------------------------------------------------- */

static void *allocate(int bytes)
{
	return tslab_malloc((size_t)bytes);
}

static void *resize(void *object, int bytes)
{
	return tslab_realloc(object, (size_t)bytes);
}

static int size_of(void *object)
{
	return (int)tslab_usable_size(object);
}

static int round_up(int bytes)
{
	return (bytes + TSLAB_ALIGNMENT - 1) & ~(TSLAB_ALIGNMENT - 1);
}

static int start(void *unused)
{
	(void)unused;
	return SQLITE_OK;
}

static void stop(void *unused)
{
	(void)unused;
}

static const struct sqlite3_mem_methods methods = {
	.xMalloc = allocate,
	.xFree = tslab_free,
	.xRealloc = resize,
	.xSize = size_of,
	.xRoundup = round_up,
	.xInit = start,
	.xShutdown = stop,
};

static void use_database_in_epoch(unsigned long thousands)
{
	tslab_heap *heap = program_heap();
	tslab_epoch_t epoch;

	check(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
	check(sqlite3_initialize(), SQLITE_OK); /* what outlives the database stays outside */
	epoch = program_begin(heap, "database");
	use_database(thousands);
	program_end(epoch);
}

int main(int argc, char **argv)
{
	struct program_options options = program_options(argc, argv, false);

	if (options.epochs)
		use_database_in_epoch(options.count);
	else
		use_database(options.count);
	return 0;
}
