dnl SPDX-License-Identifier: MIT

dnl TSLAB_APPEND_C_FLAGS(VARIABLE, FLAGS): append each flag that the compiler takes, tested one by one.
AC_DEFUN([TSLAB_APPEND_C_FLAGS],
[m4_foreach_w([tslab_flag], [$2],
	[AS_VAR_PUSHDEF([tslab_cache], [tslab_cv_flag_]m4_translit(tslab_flag, [-=,], [___]))
	AC_CACHE_CHECK([whether $CC takes ]tslab_flag, [tslab_cache],
		[tslab_saved_cflags=$CFLAGS
		CFLAGS="$CFLAGS -Werror tslab_flag"
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
			[AS_VAR_SET([tslab_cache], [yes])], [AS_VAR_SET([tslab_cache], [no])])
		CFLAGS=$tslab_saved_cflags])
	AS_VAR_IF([tslab_cache], [yes], [$1="${$1-} tslab_flag"])
	AS_VAR_POPDEF([tslab_cache])])])

dnl TSLAB_REQUIRE_C_FLAGS(FLAGS, OPTION): the compiler and linker must take the flags that OPTION asks for.
AC_DEFUN([TSLAB_REQUIRE_C_FLAGS],
[AC_MSG_CHECKING([whether $CC can do $2])
tslab_saved_cflags=$CFLAGS
CFLAGS="$CFLAGS $1"
AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AC_MSG_RESULT([yes])],
	[AC_MSG_RESULT([no])
	AC_MSG_ERROR([$CC cannot do $2])])
CFLAGS=$tslab_saved_cflags])
