dnl SPDX-License-Identifier: MIT

dnl TSLAB_OPTIONAL(NAME, PKG-CONFIG-SPEC, USE): --with-NAME / --without-NAME, by default what is found.
dnl Asked for and missing is an error. Sets have_NAME, NAME_CFLAGS, NAME_LIBS (upper case), the
dnl conditional WITH_NAME, and defines TSLAB_HAVE_NAME to 0 or 1.
AC_DEFUN([TSLAB_OPTIONAL],
[m4_pushdef([NAME], m4_toupper([$1]))
AC_ARG_WITH([$1],
	[AS_HELP_STRING([--with-$1], [use $1 for: $3 @<:@if found@:>@])],
	[], [with_$1=auto])
AS_CASE([$with_$1], [yes|no|auto], [],
	[AC_MSG_ERROR([--with-$1: "$with_$1" is neither yes nor no])])
have_$1=no
AS_IF([test "$with_$1" != no],
	[PKG_CHECK_MODULES(NAME, [$2], [have_$1=yes],
		[AS_IF([test "$with_$1" = yes], [AC_MSG_ERROR([--with-$1: $2 was not found])])])])
AM_CONDITIONAL([WITH_]NAME, [test "$have_$1" = yes])
AS_IF([test "$have_$1" = yes], [tslab_have=1], [tslab_have=0])
AC_DEFINE_UNQUOTED([TSLAB_HAVE_]NAME, [$tslab_have], [1 if $1 is there ($3).])
m4_popdef([NAME])])
