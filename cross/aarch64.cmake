# SPDX-License-Identifier: MIT
# CMake toolchain file for AArch64 servers, against the sysroot that cross/sysroot makes:
#
#   cmake -DCMAKE_TOOLCHAIN_FILE=.../cross/aarch64.cmake -DTSLAB_STAGE=STAGE ...
#
# TSLAB_STAGE is where `make install DESTDIR=STAGE` put tslab; pkg_check_modules(TSLAB tslab) finds it there.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TSLAB_STAGE)

if(NOT DEFINED CMAKE_SYSROOT)
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/sysroot aarch64
    OUTPUT_VARIABLE CMAKE_SYSROOT OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "cross/sysroot: no sysroot for AArch64")
  endif()
endif()

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
file(GLOB_RECURSE tslab_pc "${TSLAB_STAGE}/*/tslab.pc")
if(tslab_pc)
  list(GET tslab_pc 0 tslab_pc)
  get_filename_component(tslab_pc_dir ${tslab_pc} DIRECTORY)
  set(ENV{PKG_CONFIG_LIBDIR} ${tslab_pc_dir})
  set(ENV{PKG_CONFIG_SYSROOT_DIR} ${TSLAB_STAGE})
endif()
