/* SPDX-License-Identifier: MIT */
/*
 * symbols.c: from module and offset to function, file and line.
 *
 * The library records where a domain was entered as a module, its build id and the offset of the return
 * address. The module's file is looked for below --sysroot, in the process's own root directory, and as
 * the running executable; a file with another build id is never used, because its lines would be wrong.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "tool.h"

#if TSLAB_HAVE_LIBDW

#include <dwarf.h>
#include <elfutils/libdwfl.h>

/* A module that is looked into; the last one stays open, places of one module tend to follow. */
struct reader {
	Dwfl *dwfl;
	Dwfl_Module *module;
	GElf_Addr bias; /* from the file's addresses to libdwfl's */
	char opened[512];
	char note[128];
};

static char *debuginfo_path; /* NULL: libdwfl's default */
static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.section_address = dwfl_offline_section_address,
	.debuginfo_path = &debuginfo_path,
};

static void reader_close(struct reader *r)
{
	if (r->dwfl)
		dwfl_end(r->dwfl);
	r->dwfl = NULL;
	r->module = NULL;
	r->opened[0] = '\0';
	r->note[0] = '\0';
}

static bool same_build(Dwfl_Module *module, const char *build_id)
{
	const unsigned char *bits;
	GElf_Addr where;
	int bytes = dwfl_module_build_id(module, &bits, &where);
	char text[2 * 64 + 1] = "";

	for (int i = 0; i < bytes && i < 64; i++)
		snprintf(text + 2 * i, 3, "%02x", bits[i]);
	return !strcmp(text, build_id);
}

/* Opens a file if it is the module. False leaves a note that says why not. */
static bool try_file(struct reader *r, const char *path, const struct ts_place_view *place)
{
	Elf *elf;

	if (access(path, R_OK))
		return false;
	r->dwfl = dwfl_begin(&callbacks);
	if (r->dwfl) {
		dwfl_report_begin(r->dwfl);
		r->module = dwfl_report_offline(r->dwfl, "", path, -1);
		dwfl_report_end(r->dwfl, NULL, NULL);
	}
	elf = r->module ? dwfl_module_getelf(r->module, &r->bias) : NULL;
	if (elf && same_build(r->module, place->build_id))
		return true;
	snprintf(r->note, sizeof(r->note),
		 elf ? "the file there is another build" : "the file there is no ELF file");
	if (r->dwfl)
		dwfl_end(r->dwfl);
	r->dwfl = NULL;
	r->module = NULL;
	return false;
}

static bool find_module(struct reader *r, const struct ts_place_view *place, const char *sysroot,
			int pid)
{
	char path[1024];

	if (!strcmp(r->opened, place->module))
		return r->module != NULL;
	reader_close(r);
	snprintf(r->opened, sizeof(r->opened), "%s", place->module);
	if (place->module[0] != '/' || strstr(place->module, "/../"))
		return snprintf(r->note, sizeof(r->note), "its path is not absolute"), false;
	if (sysroot) {
		snprintf(path, sizeof(path), "%s%s", sysroot, place->module);
		if (try_file(r, path, place))
			return true;
	}
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, place->module);
	if (try_file(r, path, place))
		return true;
	/* The executable even if its file was replaced since it was started. */
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (try_file(r, path, place))
		return true;
	if (!r->note[0])
		snprintf(r->note, sizeof(r->note), "its file was not found");
	return false;
}

/* The compilation unit of an address; also where the compiler (clang) writes no table of addresses. */
static Dwarf_Die *unit_at(Dwfl_Module *module, GElf_Addr address, Dwarf_Addr *bias)
{
	Dwarf_Die *unit = dwfl_module_addrdie(module, address, bias);

	if (unit)
		return unit;
	while ((unit = dwfl_module_nextcu(module, unit, bias)))
		if (dwarf_haspc(unit, address - *bias) > 0)
			return unit;
	return NULL;
}

/* The function as the source has it: one that was inlined has no symbol of its own. NULL if unknown. */
static const char *source_function(Dwarf_Die *unit, Dwarf_Addr address)
{
	Dwarf_Die *scopes = NULL;
	int count = unit ? dwarf_getscopes(unit, address, &scopes) : 0;
	const char *name = NULL;

	for (int i = 0; i < count && !name; i++)
		if (dwarf_tag(&scopes[i]) == DW_TAG_inlined_subroutine ||
		    dwarf_tag(&scopes[i]) == DW_TAG_subprogram)
			name = dwarf_diename(&scopes[i]);
	free(scopes);
	return name;
}

static void resolve(struct reader *r, struct ts_place_view *place)
{
	/* The return address is behind the call; the call itself is one byte before it at the latest. */
	GElf_Addr address = r->bias + place->offset - 1;
	Dwarf_Addr bias = 0;
	Dwarf_Die *unit = unit_at(r->module, address, &bias);
	const char *function = source_function(unit, address - bias);
	Dwarf_Line *line = unit ? dwarf_getsrc_die(unit, address - bias) : NULL;
	const char *file = NULL;
	int number = 0;

	if (!function)
		function = dwfl_module_addrname(r->module, address);
	if (line)
		file = dwarf_linesrc(line, NULL, NULL);
	if (function)
		snprintf(place->function, sizeof(place->function), "%s", function);
	if (file && dwarf_lineno(line, &number) == 0) {
		snprintf(place->file, sizeof(place->file), "%s", file);
		place->line = number > 0 ? (uint64_t)number : 0;
	} else {
		snprintf(place->note, sizeof(place->note),
			 "the file has no line information (built without -g)");
	}
}

/*
 * What was resolved before: commands that look again and again meet the same places, and a module takes
 * milliseconds to open. Places that were not found are looked for again.
 */
enum { KNOWN_MAX = 256 };
static struct ts_place_view known[KNOWN_MAX];
static size_t known_count;

static bool is_known(struct ts_place_view *place)
{
	for (size_t i = 0; i < known_count; i++) {
		if (known[i].offset != place->offset || strcmp(known[i].module, place->module) != 0 ||
		    strcmp(known[i].build_id, place->build_id) != 0)
			continue;
		*place = known[i];
		return true;
	}
	return false;
}

void symbols_resolve(struct ts_snapshot *snapshot, const char *sysroot)
{
	struct reader reader = { .dwfl = NULL };

	for (size_t i = 0; i < snapshot->place_count; i++) {
		struct ts_place_view *place = &snapshot->places[i];

		if (is_known(place))
			continue;
		if (!find_module(&reader, place, sysroot, snapshot->target.pid)) {
			memcpy(place->note, reader.note, sizeof(place->note));
			continue;
		}
		resolve(&reader, place);
		if (known_count < KNOWN_MAX)
			known[known_count++] = *place;
	}
	reader_close(&reader);
}

#else

void symbols_resolve(struct ts_snapshot *snapshot, const char *sysroot)
{
	(void)sysroot;
	for (size_t i = 0; i < snapshot->place_count; i++)
		snprintf(snapshot->places[i].note, sizeof(snapshot->places[i].note),
			 "this tool was built without libdw");
}

#endif
