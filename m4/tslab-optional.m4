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

dnl TSLAB_DYGRAPHS: --with-dygraphs[=DIR] / --without-dygraphs, by default where Debian has it. It becomes a
dnl part of the tool. Sets have_dygraphs, DYGRAPH_JS and DYGRAPH_CSS, files that may be empty.
AC_DEFUN([TSLAB_DYGRAPHS],
[AC_ARG_WITH([dygraphs],
	[AS_HELP_STRING([--with-dygraphs@<:@=DIR@:>@],
		[directory of dygraph.min.js, for plots in tslab serve @<:@/usr/share/javascript/dygraphs@:>@])],
	[], [with_dygraphs=auto])
AS_CASE([$with_dygraphs],
	[yes|auto], [dygraphs_dir=/usr/share/javascript/dygraphs],
	[/*|no], [dygraphs_dir=$with_dygraphs],
	[AC_MSG_ERROR([--with-dygraphs: "$with_dygraphs" is no absolute path])])
have_dygraphs=no
DYGRAPH_JS=/dev/null
DYGRAPH_CSS=/dev/null
AC_MSG_CHECKING([for dygraphs])
AS_IF([test "$dygraphs_dir" != no && test -r "$dygraphs_dir/dygraph.min.js" &&
	test -r "$dygraphs_dir/dygraph.min.css"],
	[have_dygraphs=yes
	DYGRAPH_JS=$dygraphs_dir/dygraph.min.js
	DYGRAPH_CSS=$dygraphs_dir/dygraph.min.css])
AC_MSG_RESULT([$have_dygraphs])
AS_CASE([$with_dygraphs:$have_dygraphs], [no:*|auto:*|*:yes], [],
	[AC_MSG_ERROR([--with-dygraphs: no dygraph.min.js and dygraph.min.css in $dygraphs_dir])])
AC_SUBST([DYGRAPH_JS])
AC_SUBST([DYGRAPH_CSS])])
