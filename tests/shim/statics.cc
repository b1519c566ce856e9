// SPDX-License-Identifier: MIT
// Objects that live longer than main, exceptions, streams, aligned and sized deletes, thread_local ones.
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct alignas(128) wide {
	char bytes[300] = {};
};

struct late {
	std::map<int, std::string> texts;
	std::unique_ptr<wide> one{new wide};
	explicit late(int n)
	{
		for (int i = 0; i < n; i++)
			texts[i] = std::string(static_cast<size_t>(i), 'x');
	}
	~late()
	{
		std::vector<std::string> copy;
		for (auto &entry : texts)
			copy.push_back(entry.second + entry.second);
		if (reinterpret_cast<uintptr_t>(one.get()) % 128 != 0)
			abort();
		std::cout << "gone: " + std::to_string(copy.size()) + "\n" << std::flush; // whole, for threads print too
	}
};

static late first(300);
thread_local late of_thread(20);
static late second(100);

static int thrown(int depth)
{
	std::string text(static_cast<size_t>(depth) * 100, 'y');
	if (depth == 50)
		throw std::runtime_error(text);
	return thrown(depth + 1) + 1;
}

int main()
{
	static late inside(10);
	std::vector<std::thread> threads;

	for (int i = 0; i < 8; i++)
		threads.emplace_back([] {
			if (of_thread.texts.size() != 20)
				abort();
			try {
				thrown(0);
			} catch (const std::exception &e) {
				if (std::string(e.what()).size() != 5000)
					abort();
			}
		});
	for (auto &thread : threads)
		thread.join();
	std::cout << "main ends" << std::endl;
	return 0;
}
