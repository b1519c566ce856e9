/* SPDX-License-Identifier: MIT */
/*
 * pending.pml: why a free reaches the node before it returns (C1).
 *
 * One thread frees slot x. When its free has returned, another frees x again. The owner collects, and
 * hands x out again after both, when nothing is pending that it can see. Checked: the second free is reported and the new object stays alive. The
 * control keeps the first bit back in its thread, as a pending mask would.
 */
bool L, R;
bool first_done, second_done, reused;
byte reports, accepted;

inline free_x()
{
	if
	:: L -> reports++
	:: else -> d_step { if :: R -> reports++ :: else -> R = true fi }
	fi
}

proctype First()
{
#ifdef CTL_PENDING
	first_done = true;
	d_step { if :: R -> reports++ :: else -> R = true fi }
#else
	free_x();
	first_done = true
#endif
}

proctype Second() { (first_done); free_x(); second_done = true }

proctype Owner()
{
	bool m;

	do
	:: !reused ->
		d_step { m = R; R = false };
		d_step {
			if
			:: m && L -> reports++
			:: m && !L -> L = true; accepted++
			:: else
			fi
		};
		if
		:: second_done && L && !R -> L = false; reused = true
		:: else
		fi
	:: else -> break
	od
}

init
{
	atomic { run First(); run Second(); run Owner() };
	(_nr_pr == 1);
	assert(reports == 1 && accepted == 1 && !L && !R)
}
