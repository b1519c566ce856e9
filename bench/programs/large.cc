// SPDX-License-Identifier: MIT
// Nothing to run: a source that costs a C++ compiler what a large one costs. The whole standard library,
// and many instantiations of its templates.
#include <bits/stdc++.h>

template <int N> struct key {
	long value[N % 7 + 1];
	bool operator<(const key &other) const { return std::lexicographical_compare(value, value + 1, other.value, other.value + 1); }
	bool operator==(const key &other) const { return value[0] == other.value[0]; }
};

template <int N> struct hash_of {
	std::size_t operator()(const key<N> &k) const { return std::hash<long>()(k.value[0]) * N; }
};

template <int N> long use()
{
	std::map<key<N>, std::string> ordered;
	std::unordered_map<key<N>, std::vector<key<N>>, hash_of<N>> hashed;
	std::vector<key<N>> list(N + 1);
	std::function<long(const key<N> &)> first = [](const key<N> &k) { return k.value[0] + N; };
	std::variant<long, std::string, key<N>> any = long(N);

	for (auto &k : list) {
		k.value[0] = static_cast<long>(&k - list.data());
		ordered[k] = std::to_string(first(k));
		hashed[k].push_back(k);
	}
	std::sort(list.begin(), list.end());
	std::stable_partition(list.begin(), list.end(), [](const key<N> &k) { return k.value[0] % 2; });
	return std::accumulate(list.begin(), list.end(), std::get<0>(any),
			       [&](long sum, const key<N> &k) { return sum + long(ordered[k].size() + hashed[k].size()); });
}

template <int... N> long use_all(std::integer_sequence<int, N...>)
{
	return (use<N>() + ...);
}

long used = use_all(std::make_integer_sequence<int, 10>());
