/* SPDX-License-Identifier: MIT */
/*
 * What <tslab/tslab.hpp> promises. With an argument it stays inside a scope until its input ends, so that
 * somebody can look where that was entered.
 */
#include <tslab/tslab.hpp>

#include <cassert>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory_resource>
#include <stdexcept>
#include <string>
#include <vector>

#undef NDEBUG
#include <cassert>

static std::string label_of(const void *object)
{
	tslab_owner_info info = {};

	info.struct_bytes = sizeof(info);
	return tslab_owner(object, &info) == 0 ? info.label : "";
}

template <class F> static int error_of(F &&f)
{
	try {
		f();
	} catch (const std::system_error &error) {
		return error.code().value();
	}
	return 0;
}

static bool is_open(tslab_epoch_t id)
{
	void *object = tslab_alloc(id, 1);

	tslab_free(object);
	return object != nullptr;
}

static void an_epoch_ends_with_its_owner()
{
	tslab_epoch_t first, second;
	{
		tslab::epoch a("a"), b("b", tslab::at_end::discard);

		first = a.id();
		second = b.id();
		assert(is_open(first) && is_open(second));
		a = std::move(b); /* the first is over, the second is a's */
		assert(!is_open(first) && is_open(second) && b.id() == TSLAB_EPOCH_NONE);
		tslab::epoch c(std::move(a));
		assert(c.id() == second && is_open(second));
	}
	assert(!is_open(second));

	tslab::epoch kept("kept");
	first = kept.release();
	assert(is_open(first) && tslab_epoch_close(first) == 0);
	tslab::epoch closed("closed");
	closed.close();
	assert(closed.id() == TSLAB_EPOCH_NONE);
}

static void a_scope_is_left_by_an_exception()
{
	tslab_epoch_t before = tslab_domain_current(), inside = TSLAB_EPOCH_NONE;

	try {
		tslab::scope request("request", tslab::at_end::discard);
		void *object = tslab_malloc(100);

		inside = request.id();
		assert(tslab_domain_current() == inside && label_of(object) == "request");
		throw std::runtime_error("the request fails");
	} catch (const std::runtime_error &) {
	}
	assert(tslab_domain_current() == before && !is_open(inside));
}

static void a_discard_that_is_refused_closes()
{
	tslab_epoch_t id;
	{
		tslab::epoch busy("busy", tslab::at_end::discard);

		id = busy.id();
		assert(tslab_domain_enter(id) == 0);
	}
	assert(!is_open(id) && tslab_domain_exit(id) == 0);
}

static void errors_are_told()
{
	tslab::epoch over("over");
	tslab_epoch_t id = over.id();

	over.discard();
	assert(error_of([&] { tslab::domain inside(id); }) == ESTALE);
	assert(error_of([&] { tslab::epoch(nullptr).discard(); }) == 0);
	assert(error_of([&] {
		       tslab::epoch entered("entered");
		       tslab::domain inside(entered);
		       entered.discard();
	       }) == EBUSY);
	try {
		tslab::allocator<int>(id).allocate(1);
		assert(!"memory of an epoch that is over");
	} catch (const std::bad_alloc &) {
	}
	try {
		(void)tslab::allocator<long>().allocate(SIZE_MAX / 4);
		assert(!"more than there can be");
	} catch (const std::bad_array_new_length &) {
	}
}

static void containers_lie_in_an_epoch()
{
	tslab::epoch session("session"), other("other");
	tslab::memory_resource memory(session), same(session.id()), elsewhere(other);
	std::pmr::vector<std::pmr::string> words(&memory), copy(&elsewhere);

	for (int i = 0; i < 100; i++)
		words.emplace_back("a text that is too long to be a part of the string itself");
	assert(label_of(words.data()) == "session" && label_of(words[99].data()) == "session");
	assert(memory == same && !(memory == elsewhere));
	copy = std::move(words); /* another lifetime: the elements move, not the vector's memory */
	assert(copy.size() == 100 && label_of(copy.data()) == "other" &&
	       label_of(copy[0].data()) == "other");

	using table =
		std::map<int, double, std::less<int>, tslab::allocator<std::pair<const int, double>>>;
	table numbers{ tslab::allocator<std::pair<const int, double>>(session) };
	numbers[1] = 2;
	assert(label_of(&numbers[1]) == "session");

	tslab::scope inner("inner");
	std::vector<int, tslab::allocator<int>> here(10);
	assert(label_of(here.data()) == "inner");
}

static void alignments_are_kept()
{
	struct alignas(256) line {
		char bytes[256];
	};
	tslab::epoch wide("wide");
	std::vector<line, tslab::allocator<line>> lines(3, line(), tslab::allocator<line>(wide));
	tslab::memory_resource memory(wide);
	void *object = memory.allocate(100, 4096);

	assert(reinterpret_cast<std::uintptr_t>(lines.data()) % 256 == 0 &&
	       label_of(lines.data()) == "wide");
	assert(reinterpret_cast<std::uintptr_t>(object) % 4096 == 0 && label_of(object) == "wide");
	memory.deallocate(object, 100, 4096);
	assert(tslab_domain_current() != wide.id());
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		tslab::epoch session("session");
		tslab::domain inside(session); /* ENTERED */

		std::printf("%s\n", argv[1]);
		std::fflush(stdout);
		return std::getchar() != EOF;
	}
	an_epoch_ends_with_its_owner();
	a_scope_is_left_by_an_exception();
	a_discard_that_is_refused_closes();
	errors_are_told();
	containers_lie_in_an_epoch();
	alignments_are_kept();
	std::puts("lifetimes end as they should");
	return 0;
}
