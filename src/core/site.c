/* SPDX-License-Identifier: MIT */
#include "site.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h" /* HAVE__DL_FIND_OBJECT */

#include "blocks.h"
#include "lock.h"

#define TABLE_SLOTS 8192u /* a power of two; at most half of it is used */
#define MODULES_MAX 256

static struct {
	ts_a64 pc;
	uint32_t id;
} table[TABLE_SLOTS];

/* Under ts_lock_meta. */
static struct ts_block_sites *site_blocks[TABLE_SLOTS / 2 / TS_SITES_PER_BLOCK + 1];
static struct ts_block_module *modules[MODULES_MAX];
static uintptr_t module_bases[MODULES_MAX];
static uint32_t module_count;
static uint32_t site_count = 1; /* site 0 means unknown */

static uint32_t slot_of(uint64_t pc)
{
	return (uint32_t)((pc * 0x9e3779b97f4a7c15u) >> 51) & (TABLE_SLOTS - 1);
}

struct module_search {
	uintptr_t pc;
	uintptr_t base;
	const char *name;
	const uint8_t *build_id;
	uint32_t build_id_bytes;
};

static void find_build_id(struct module_search *search, const ElfW(Phdr) * phdr)
{
	const char *note = (const char *)(search->base + phdr->p_vaddr);
	const char *end = note + phdr->p_memsz;

	while (note + sizeof(ElfW(Nhdr)) <= end) {
		const ElfW(Nhdr) *head = (const ElfW(Nhdr) *)note;
		const char *name = note + sizeof(*head);
		const char *desc = name + ((head->n_namesz + 3) & ~3u);

		if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 &&
		    !memcmp(name, "GNU", 4)) {
			search->build_id = (const uint8_t *)desc;
			search->build_id_bytes = head->n_descsz;
			return;
		}
		note = desc + ((head->n_descsz + 3) & ~3u);
	}
}

static void found_module(struct module_search *search, uintptr_t base, const char *name,
			 const ElfW(Phdr) * phdrs, unsigned count)
{
	search->base = base;
	search->name = name;
	for (unsigned i = 0; i < count; i++)
		if (phdrs[i].p_type == PT_NOTE && !search->build_id)
			find_build_id(search, &phdrs[i]);
}

#ifdef HAVE__DL_FIND_OBJECT
/*
 * Without the loader's lock: the child of a fork would find it taken for ever if another thread of the parent had it,
 * which glibc does not mend.
 */
static void find_module(struct module_search *search)
{
	struct dl_find_object object;
	const ElfW(Ehdr) * head;

	if (_dl_find_object((void *)search->pc, &object))
		return;
	head = object.dlfo_map_start;
	if (!memcmp(head->e_ident, ELFMAG, SELFMAG))
		found_module(search, object.dlfo_link_map->l_addr, object.dlfo_link_map->l_name,
			     (const ElfW(Phdr) *)((const char *)head + head->e_phoff), head->e_phnum);
}
#else
static int look_at_module(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	struct module_search *search = arg;
	bool hit = false;

	(void)bytes;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + phdr->p_vaddr;

		if (phdr->p_type == PT_LOAD && search->pc >= start &&
		    search->pc < start + phdr->p_memsz)
			hit = true;
	}
	if (hit)
		found_module(search, info->dlpi_addr, info->dlpi_name, info->dlpi_phdr,
			     info->dlpi_phnum);
	return hit;
}

static void find_module(struct module_search *search)
{
	dl_iterate_phdr(look_at_module, search);
}
#endif

/* The main program has no name in the link map: the kernel knows its path. */
static void copy_path(char path[512], const char *name)
{
	ssize_t length = 0;

	if (name && *name) {
		snprintf(path, 512, "%s", name);
		return;
	}
	length = readlink("/proc/self/exe", path, 511);
	path[length > 0 ? length : 0] = '\0';
}

/* Is this the module at its base still? Another may have been loaded there; the program never moves. */
static bool same_module(uint32_t i, const struct module_search *search)
{
	return module_bases[i] == search->base &&
	       (!*search->name || !strcmp(modules[i]->path, search->name));
}

/* Meta lock held. Index + 1, or 0. */
static uint32_t module_index(const struct module_search *search)
{
	struct ts_block_module *module;
	char path[512] = ""; /* all of it is shown */

	if (!search->name)
		return 0;
	for (uint32_t i = 0; i < module_count; i++)
		if (same_module(i, search))
			return i + 1;
	if (module_count == MODULES_MAX)
		return 0;
	copy_path(path, search->name);
	module = ts_block_get(TS_BLOCK_MODULE, 1);
	if (!module)
		return 0;
	if (search->build_id_bytes <= sizeof(module->build_id)) {
		memcpy(module->build_id, search->build_id, search->build_id_bytes);
		module->build_id_bytes = search->build_id_bytes;
	}
	memcpy(module->path, path, sizeof(module->path));
	module->index = module_count;
	modules[module_count] = module;
	module_bases[module_count] = search->base;
	return ++module_count;
}

/* Meta lock held. */
static uint32_t new_site(const struct module_search *search)
{
	uint32_t id = site_count;
	uint32_t block = id / TS_SITES_PER_BLOCK;

	if (id == TABLE_SLOTS / 2)
		return 0;
	if (!site_blocks[block])
		site_blocks[block] = ts_block_get(TS_BLOCK_SITES, 1);
	if (!site_blocks[block])
		return 0;
	site_blocks[block]->site[id % TS_SITES_PER_BLOCK].offset = search->pc - search->base;
	site_blocks[block]->site[id % TS_SITES_PER_BLOCK].module = module_index(search);
	site_count++;
	return id;
}

static uint32_t learn(uintptr_t pc)
{
	struct module_search search = { .pc = pc };
	uint32_t slot = slot_of(pc);
	uint32_t id = 0;

	/* May take the loader's lock, so before ours. */
	find_module(&search);
	ts_lock(&ts_lock_meta);
	while (ts_a64_load_rlx(&table[slot].pc) && ts_a64_load_rlx(&table[slot].pc) != pc)
		slot = (slot + 1) & (TABLE_SLOTS - 1);
	if (ts_a64_load_rlx(&table[slot].pc) == pc) {
		id = table[slot].id;
	} else {
		id = new_site(&search);
		if (id) {
			table[slot].id = id;
			/* ORD-20 release: pairs with ts_site_id; the number is there before the key. */
			ts_a64_store_rel(&table[slot].pc, pc);
		}
	}
	ts_unlock(&ts_lock_meta);
	return id;
}

uint32_t ts_site_id(const void *pc)
{
	for (uint32_t slot = slot_of((uintptr_t)pc);; slot = (slot + 1) & (TABLE_SLOTS - 1)) {
		uint64_t seen = ts_a64_load_acq(&table[slot].pc); /* ORD-20 acquire */

		if (seen == (uintptr_t)pc)
			return table[slot].id;
		if (!seen)
			return learn((uintptr_t)pc);
	}
}

void ts_site_describe(uint32_t site, char *buf, size_t bytes)
{
	struct ts_block_sites *block =
		site < TABLE_SLOTS / 2 ? site_blocks[site / TS_SITES_PER_BLOCK] : NULL;
	uint32_t module = block ? block->site[site % TS_SITES_PER_BLOCK].module : 0;
	const char *path = module ? modules[module - 1]->path : "?";
	const char *name = strrchr(path, '/');

	snprintf(buf, bytes, "%s+0x%llx", name ? name + 1 : path,
		 block ? (unsigned long long)block->site[site % TS_SITES_PER_BLOCK].offset : 0ull);
}
