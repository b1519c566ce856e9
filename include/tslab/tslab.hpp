/* SPDX-License-Identifier: MIT */
/*
 * tslab.hpp: lifetimes as C++ knows them. Header only, C++17; what it calls is in <tslab/tslab.h>.
 *
 * A lifetime is an object here, a scope a block: who leaves the block, by an exception too, leaves the
 * scope. Containers get their memory from an epoch by a std::pmr::memory_resource, or by an allocator that
 * is a part of their type.
 *
 * Conventions
 *   errors   constructors throw std::system_error with the errno value that the C function gives; memory
 *            that cannot be had is std::bad_alloc. Destructors throw nothing: what the library refuses
 *            there it counts and reports, as in C
 *   threads  an epoch is any thread's; a domain or scope ends on the thread that began it
 *   sites    the tools name the line that began a domain or scope, not one in this header
 */
#ifndef TSLAB_TSLAB_HPP
#define TSLAB_TSLAB_HPP

#if __cplusplus < 201703L
#error "<tslab/tslab.hpp> needs C++17"
#endif

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <system_error>
#include <utility>

#include <tslab/tslab.h>

namespace tslab
{

/* What becomes of an epoch when its owner ends. */
enum class at_end {
	close,   /* objects that live on stay valid until they are freed */
	discard, /* all objects go at once; without their destructors */
};

namespace detail
{

inline void must(int result, const char *what)
{
	if (result != 0)
		throw std::system_error(-result, std::generic_category(), what);
}

/* A discard is refused while a thread is inside: the epoch must not stay open for that. */
inline void end(tslab_epoch_t epoch, at_end how) noexcept
{
	if (how == at_end::close || tslab_epoch_discard(epoch) == -EBUSY)
		tslab_epoch_close(epoch);
}

} // namespace detail

/* An epoch that somebody owns, and ends with the owner. Movable. */
class epoch
{
      public:
	/* Opens one: tslab_epoch_open(). */
	explicit epoch(const char *label = nullptr, at_end how = at_end::close,
		       tslab_heap *heap = nullptr)
	    : how_(how)
	{
		detail::must(tslab_epoch_open(heap, label, &id_), "tslab_epoch_open");
	}
	epoch(epoch &&other) noexcept : id_(other.release()), how_(other.how_)
	{
	}
	epoch &operator=(epoch &&other) noexcept
	{
		if (this != &other) {
			end();
			id_ = other.release();
			how_ = other.how_;
		}
		return *this;
	}
	epoch(const epoch &) = delete;
	epoch &operator=(const epoch &) = delete;
	~epoch()
	{
		end();
	}

	tslab_epoch_t id() const noexcept
	{
		return id_;
	}
	/* Nobody's from now on: the caller ends it. */
	tslab_epoch_t release() noexcept
	{
		return std::exchange(id_, TSLAB_EPOCH_NONE);
	}
	/* Now, and not at the end: tslab_epoch_close() and tslab_epoch_discard(), with their errors. */
	void close()
	{
		detail::must(tslab_epoch_close(id_), "tslab_epoch_close");
		release();
	}
	void discard()
	{
		detail::must(tslab_epoch_discard(id_), "tslab_epoch_discard");
		release();
	}

      private:
	void end() noexcept
	{
		if (id_ != TSLAB_EPOCH_NONE)
			detail::end(release(), how_);
	}

	tslab_epoch_t id_ = TSLAB_EPOCH_NONE;
	at_end how_;
};

/* The calling thread is inside an epoch as long as this lives: tslab_domain_enter(), tslab_domain_exit(). */
class domain
{
      public:
	/* Not inlined, so that the address it returns to is of the program's line. */
	[[gnu::noinline]] explicit domain(tslab_epoch_t id) : id_(id)
	{
		detail::must(tslab_domain_enter_at(id_, __builtin_return_address(0)),
			     "tslab_domain_enter");
	}
	[[gnu::noinline]] explicit domain(const epoch &owner) : id_(owner.id())
	{
		detail::must(tslab_domain_enter_at(id_, __builtin_return_address(0)),
			     "tslab_domain_enter");
	}
	domain(const domain &) = delete;
	domain &operator=(const domain &) = delete;
	~domain()
	{
		tslab_domain_exit(id_);
	}

	tslab_epoch_t id() const noexcept
	{
		return id_;
	}

      private:
	tslab_epoch_t id_;
};

/* A request, frame or batch of one thread: tslab_scope_begin(), and its end with the block. */
class scope
{
      public:
	[[gnu::noinline]] explicit scope(const char *label = nullptr, at_end how = at_end::close,
					 tslab_heap *heap = nullptr)
	    : how_(how)
	{
		detail::must(tslab_scope_begin_at(heap, label, __builtin_return_address(0), &id_),
			     "tslab_scope_begin");
	}
	scope(const scope &) = delete;
	scope &operator=(const scope &) = delete;
	~scope()
	{
		if (how_ == at_end::close)
			tslab_scope_close(id_);
		else if (tslab_scope_discard(id_) == -EBUSY)
			tslab_epoch_close(id_);
	}

	tslab_epoch_t id() const noexcept
	{
		return id_;
	}

      private:
	tslab_epoch_t id_ = TSLAB_EPOCH_NONE;
	at_end how_;
};

/*
 * Memory of an epoch; of the innermost scope without one. An alignment above 16 takes a scope for the time
 * of the call. Throws std::bad_alloc, also when the epoch is over.
 */
inline void *allocate(tslab_epoch_t epoch, std::size_t bytes, std::size_t alignment)
{
	void *object = nullptr;

	if (alignment <= TSLAB_ALIGNMENT) {
		object = epoch == TSLAB_EPOCH_NONE ? tslab_malloc(bytes) : tslab_alloc(epoch, bytes);
	} else if (epoch == TSLAB_EPOCH_NONE) {
		object = tslab_aligned_alloc(alignment, bytes);
	} else if (tslab_domain_enter(epoch) == 0) {
		object = tslab_aligned_alloc(alignment, bytes);
		tslab_domain_exit(epoch);
	}
	if (!object)
		throw std::bad_alloc();
	return object;
}

/*
 * For std::pmr containers. What they hold lies in the epoch; two resources are equal if they have the same
 * one, so that moving a container into another lifetime moves its elements too. A freed element's memory
 * serves the epoch again.
 */
class memory_resource final : public std::pmr::memory_resource
{
      public:
	/* Of the innermost scope of whoever allocates. */
	memory_resource() noexcept = default;
	explicit memory_resource(tslab_epoch_t id) noexcept : id_(id)
	{
	}
	explicit memory_resource(const epoch &owner) noexcept : id_(owner.id())
	{
	}

	tslab_epoch_t id() const noexcept
	{
		return id_;
	}

      private:
	void *do_allocate(std::size_t bytes, std::size_t alignment) override
	{
		return tslab::allocate(id_, bytes, alignment);
	}
	void do_deallocate(void *object, std::size_t, std::size_t) override
	{
		tslab_free(object);
	}
	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
		const auto *same = dynamic_cast<const memory_resource *>(&other);

		return same && same->id_ == id_;
	}

	tslab_epoch_t id_ = TSLAB_EPOCH_NONE;
};

/* The same as a part of a container's type, without a virtual call. */
template <class T> class allocator
{
      public:
	using value_type = T;

	/* Of the innermost scope of whoever allocates. */
	allocator() noexcept = default;
	explicit allocator(tslab_epoch_t id) noexcept : id_(id)
	{
	}
	explicit allocator(const epoch &owner) noexcept : id_(owner.id())
	{
	}
	template <class U> allocator(const allocator<U> &other) noexcept : id_(other.id())
	{
	}

	T *allocate(std::size_t count)
	{
		if (count > PTRDIFF_MAX / sizeof(T))
			throw std::bad_array_new_length();
		return static_cast<T *>(tslab::allocate(id_, count * sizeof(T), alignof(T)));
	}
	void deallocate(T *object, std::size_t) noexcept
	{
		tslab_free(object);
	}
	tslab_epoch_t id() const noexcept
	{
		return id_;
	}

      private:
	tslab_epoch_t id_ = TSLAB_EPOCH_NONE;
};

template <class T, class U> bool operator==(const allocator<T> &a, const allocator<U> &b) noexcept
{
	return a.id() == b.id();
}
template <class T, class U> bool operator!=(const allocator<T> &a, const allocator<U> &b) noexcept
{
	return !(a == b);
}

} // namespace tslab

#endif
