/* SPDX-License-Identifier: MIT */
/*
 * The ISO code lists (Debian package iso-codes) in an SQLite database in memory.
 *
 * Loading parses megabytes of JSON that nobody needs afterwards. It runs in an epoch "load" that is
 * discarded at the end: no json_decref(), no walk over the trees.
 */
#include "searchd.h"

#include <ctype.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tslab/tslab.h>

struct store {
	sqlite3 *database; /* in serialized mode: threads may share it */
};

/* Which member of an entry is its code, and which one is worth showing next to the name. */
static const struct standard {
	const char *name;
	const char *code_key;
	const char *detail_key;
} standards[] = {
	{ "15924", "alpha_4", "numeric" },
	{ "3166-1", "alpha_2", "flag" },
	{ "3166-2", "code", "type" },
	{ "3166-3", "alpha_4", "withdrawal_date" },
	{ "4217", "alpha_3", "numeric" },
	{ "639-2", "alpha_3", "alpha_2" },
	{ "639-3", "alpha_3", "inverted_name" },
	{ "639-5", "alpha_3", NULL },
};

#define STANDARDS (sizeof(standards) / sizeof(standards[0]))

static const char schema[] =
	"CREATE TABLE entry (id INTEGER PRIMARY KEY, standard TEXT NOT NULL, code TEXT NOT NULL,"
	"	name TEXT NOT NULL, detail TEXT);"
	"CREATE UNIQUE INDEX entry_code ON entry (standard, code);"
	"CREATE VIRTUAL TABLE words USING fts5(name, content='entry', content_rowid='id',"
	"	tokenize='unicode61 remove_diacritics 2');";

static const struct standard *standard_find(const char *name)
{
	for (size_t i = 0; i < STANDARDS; i++)
		if (strcmp(standards[i].name, name) == 0)
			return &standards[i];
	return NULL;
}

static const char *member_text(const json_t *object, const char *key)
{
	return key ? json_string_value(json_object_get(object, key)) : NULL;
}

const char *store_entry_code(const char *standard, const json_t *entry)
{
	const struct standard *found = standard_find(standard);

	return found ? member_text(entry, found->code_key) : NULL;
}

json_t *store_read_list(const char *directory, const char *standard)
{
	char path[PATH_MAX];
	json_error_t error;
	json_t *root, *list;

	if (snprintf(path, sizeof(path), "%s/iso_%s.json", directory, standard) >= PATH_MAX) {
		fprintf(stderr, "searchd: %s: path too long\n", directory);
		return NULL;
	}
	root = json_load_file(path, 0, &error);
	if (!root) {
		fprintf(stderr, "searchd: %s: %s\n", path, error.text);
		return NULL;
	}
	list = json_object_get(root, standard);
	if (!json_is_array(list)) {
		fprintf(stderr, "searchd: %s: no array \"%s\"\n", path, standard);
		json_decref(root);
		return NULL;
	}
	json_incref(list); /* of the tree only the list is wanted */
	json_decref(root);
	return list;
}

/* ------------------------------------------------------------------------------------- loading -- */

static int bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	return sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

static bool insert_entry(sqlite3_stmt *insert, const struct standard *standard, const json_t *entry)
{
	const char *code = member_text(entry, standard->code_key);
	const char *name = member_text(entry, "name");
	bool done;

	if (!code || !name) {
		fprintf(stderr, "searchd: ISO %s: an entry without \"%s\" or \"name\"\n",
			standard->name, standard->code_key);
		return false;
	}
	bind_text(insert, 1, standard->name);
	bind_text(insert, 2, code);
	bind_text(insert, 3, name);
	bind_text(insert, 4, member_text(entry, standard->detail_key));
	done = sqlite3_step(insert) == SQLITE_DONE;
	sqlite3_reset(insert);
	return done;
}

static bool insert_list(sqlite3_stmt *insert, const struct standard *standard, const char *directory)
{
	json_t *list = store_read_list(directory, standard->name);
	json_t *entry;
	size_t i;

	if (!list)
		return false;
	json_array_foreach(list, i, entry)
		if (!insert_entry(insert, standard, entry))
			return false;
	return true;
}

static bool execute(struct store *store, const char *sql)
{
	return sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool insert_all(struct store *store, const char *directory)
{
	static const char insert_sql[] =
		"INSERT INTO entry (standard, code, name, detail) VALUES (?, ?, ?, ?)";
	sqlite3_stmt *insert;
	bool good = true;

	if (!execute(store, schema) || !execute(store, "BEGIN") ||
	    sqlite3_prepare_v2(store->database, insert_sql, -1, &insert, NULL) != SQLITE_OK)
		return false;
	for (size_t i = 0; good && i < STANDARDS; i++)
		good = insert_list(insert, &standards[i], directory);
	sqlite3_finalize(insert);
	return good && execute(store, "INSERT INTO words (words) VALUES ('rebuild'); COMMIT");
}

static bool insert_all_in_epoch(struct store *store, const char *directory)
{
	tslab_epoch_t load;
	bool good;

	if (tslab_epoch_open(NULL, "load", &load) != 0)
		return false;
	if (tslab_domain_enter(load) != 0) {
		tslab_epoch_discard(load);
		return false;
	}
	good = insert_all(store, directory);
	tslab_domain_exit(load);
	tslab_epoch_discard(load);
	return good;
}

struct store *store_load(const char *directory)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
	struct store *store = tslab_calloc(1, sizeof(*store));
	int status;

	if (!store)
		return NULL;
	if (sqlite3_open_v2(":memory:", &store->database, flags, NULL) == SQLITE_OK &&
	    insert_all_in_epoch(store, directory))
		return store;
	status = sqlite3_errcode(store->database);
	fprintf(stderr, "searchd: loading the lists in %s failed%s%s\n", directory,
		status == SQLITE_OK ? "" : ": ", status == SQLITE_OK ? "" : sqlite3_errstr(status));
	store_close(store);
	return NULL;
}

void store_close(struct store *store)
{
	sqlite3_close(store->database);
	tslab_free(store);
}

/* -------------------------------------------------------------------------------------- queries -- */

static json_t *column(sqlite3_stmt *row, int index)
{
	const unsigned char *text = sqlite3_column_text(row, index);

	return text ? json_string((const char *)text) : json_null();
}

static json_t *row_to_entry(sqlite3_stmt *row)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "standard", column(row, 0), "code", column(row, 1),
			 "name", column(row, 2), "detail", column(row, 3));
}

/* All rows as a JSON array; ends the statement. */
static json_t *collect(sqlite3_stmt *query)
{
	json_t *rows = json_array();
	int status;

	while ((status = sqlite3_step(query)) == SQLITE_ROW)
		if (json_array_append_new(rows, row_to_entry(query)) != 0)
			break;
	sqlite3_finalize(query);
	return status == SQLITE_DONE ? rows : NULL;
}

static sqlite3_stmt *prepare(struct store *store, const char *sql)
{
	sqlite3_stmt *query;

	return sqlite3_prepare_v2(store->database, sql, -1, &query, NULL) == SQLITE_OK ? query : NULL;
}

/*
 * What a user typed as a full-text query: each word quoted, so that no character of it is syntax, and
 * the last one a prefix. Returns a string in the caller's scope, NULL when out of memory.
 */
static char *words_to_query(const char *words)
{
	char *query = tslab_malloc(4 * strlen(words) + 4);
	char *end = query;
	bool inside = false;

	if (!query)
		return NULL;
	for (const char *c = words; *c; c++) {
		bool part = isalnum((unsigned char)*c) || (unsigned char)*c >= 0x80;

		if (part != inside) {
			*end++ = '"';
			if (!part)
				*end++ = ' ';
		}
		if (part)
			*end++ = *c;
		inside = part;
	}
	if (inside) {
		*end++ = '"';
		*end++ = '*';
	}
	*end = '\0';
	return query;
}

json_t *store_search(struct store *store, const char *words, unsigned limit)
{
	static const char sql[] =
		"SELECT entry.standard, entry.code, entry.name, entry.detail"
		" FROM words JOIN entry ON entry.id = words.rowid"
		" WHERE words MATCH ? ORDER BY length(entry.name), entry.id LIMIT ?";
	char *match = words_to_query(words);
	sqlite3_stmt *query;

	if (!match)
		return NULL;
	if (!*match)
		return json_array();
	query = prepare(store, sql);
	if (!query)
		return NULL;
	bind_text(query, 1, match);
	sqlite3_bind_int64(query, 2, limit);
	return collect(query);
}

json_t *store_country(struct store *store, const char *code)
{
	sqlite3_stmt *query = prepare(store, "SELECT standard, code, name, detail FROM entry"
					     " WHERE standard = '3166-1' AND code = ?");
	json_t *country, *found;

	if (!query)
		return NULL;
	bind_text(query, 1, code);
	found = collect(query);
	if (!found || json_array_size(found) == 0)
		return found ? json_null() : NULL;
	country = json_array_get(found, 0);
	query = prepare(store, "SELECT standard, code, name, detail FROM entry WHERE standard ="
			       " '3166-2' AND code > ?1 || '-' AND code < ?1 || '.' ORDER BY code");
	if (!query)
		return NULL;
	bind_text(query, 1, code);
	return json_object_set_new(country, "subdivisions", collect(query)) == 0 ? country : NULL;
}

int store_has_code(struct store *store, const char *standard, const char *code)
{
	sqlite3_stmt *query = prepare(store, "SELECT 1 FROM entry WHERE standard = ? AND code = ?");
	int status;

	if (!query)
		return -1;
	bind_text(query, 1, standard);
	bind_text(query, 2, code);
	status = sqlite3_step(query);
	sqlite3_finalize(query);
	return status == SQLITE_ROW ? 1 : status == SQLITE_DONE ? 0 : -1;
}
