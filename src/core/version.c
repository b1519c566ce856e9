/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <tslab/tslab.h>

const char *tslab_version(void)
{
	return PACKAGE_VERSION;
}
