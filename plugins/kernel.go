package plugins

import (
	"errors"
	"math"
	"strconv"
)

// vmstat says how many processes run or want to, and how many wait for a disk, at this moment. The process
// that asks is running too and is not counted.
func vmstat(r *report) error {
	text, err := r.read("proc/stat")
	if err != nil {
		return err
	}
	running, okRunning := numberOf(text, "procs_running")
	blocked, okBlocked := numberOf(text, "procs_blocked")
	if !okRunning || !okBlocked {
		return errors.New("/proc/stat does not count running and blocked processes")
	}
	r.graph("graph_title VMstat\ngraph_args --base 1000 -l 0\ngraph_vlabel process states\ngraph_category processes")
	r.field("wait", "label running\ntype GAUGE\nmax 500000\ninfo Running, or waiting for a processor.")
	r.levels("wait", "", "")
	r.uint("wait", max(running, 1)-1)
	r.field("sleep", "label I/O sleep\ntype GAUGE\nmax 500000\ninfo Waiting for a disk.")
	r.levels("sleep", "", "")
	r.uint("sleep", blocked)
	return nil
}

// forks says how many processes are started.
func forks(r *report) error {
	text, err := r.read("proc/stat")
	if err != nil {
		return err
	}
	n, ok := numberOf(text, "processes")
	if !ok {
		return errors.New("/proc/stat does not count the processes started")
	}
	r.graph("graph_title Fork rate\ngraph_args --base 1000 -l 0\ngraph_vlabel forks / ${graph_period}\n" +
		"graph_category processes\ngraph_info New processes and threads.")
	r.field("forks", "label forks\ntype DERIVE\nmin 0\nmax 100000\ninfo Processes and threads started.")
	r.levels("forks", "", "")
	r.uint("forks", n)
	return nil
}

// interrupts says how often processors are interrupted and how often they turn to another process.
func interrupts(r *report) error {
	text, err := r.read("proc/stat")
	if err != nil {
		return err
	}
	intr, okIntr := numberOf(text, "intr")
	ctxt, okCtxt := numberOf(text, "ctxt")
	if !okIntr || !okCtxt {
		return errors.New("/proc/stat does not count interrupts and context switches")
	}
	r.graph("graph_title Interrupts and context switches\ngraph_args --base 1000 -l 0\n" +
		"graph_vlabel interrupts & ctx switches / ${graph_period}\ngraph_category system\n" +
		"graph_info How often the processors are interrupted, and how often they turn to another process.")
	r.field("intr", "label interrupts\ntype DERIVE\nmin 0\ninfo Calls for attention by devices, timers and other processors.")
	r.levels("intr", "", "")
	r.uint("intr", intr)
	r.field("ctx", "label context switches\ntype DERIVE\nmin 0\ninfo Changes from one running process to another.")
	r.levels("ctx", "", "")
	r.uint("ctx", ctxt)
	return nil
}

// entropy says how much randomness the kernel holds.
func entropy(r *report) error {
	v, ok := r.readUint("proc/sys/kernel/random/entropy_avail")
	if !ok {
		return errors.New("/proc/sys/kernel/random/entropy_avail is not a number")
	}
	r.graph("graph_title Available entropy\ngraph_args --base 1000 -l 0\ngraph_vlabel entropy (bytes)\ngraph_scale no\n" +
		"graph_category system\ngraph_info The randomness that the kernel has at hand for keys.")
	r.field("entropy", "label entropy\ninfo Since Linux 5.18 this is always 256 once the machine is up.")
	r.levels("entropy", "", "")
	r.uint("entropy", v)
	return nil
}

// openFiles says how many files are open, against the most that the kernel allows.
func openFiles(r *report) error {
	text, err := r.read("proc/sys/fs/file-nr")
	if err != nil {
		return err
	}
	var n [3]uint64 // allocated, free among them, most
	if uints(text, n[:]) < 3 || n[1] > n[0] {
		return errors.New("/proc/sys/fs/file-nr does not hold the three numbers it should")
	}
	r.graph("graph_title File table usage\ngraph_args --base 1000 -l 0\ngraph_vlabel number of open files\n" +
		"graph_category system\ngraph_info Files open on the whole machine. When the table is full no program can open another.")
	r.field("used", "label open files\ninfo Files open at this moment.")
	r.levels("used", share(n[2], 0.92), share(n[2], 0.98))
	r.advise("used", "Find the program that leaks open files, or raise fs.file-max.")
	r.uint("used", n[0]-n[1])
	return nil
}

// share is a part of a limit as a level, in whole numbers.
func share(limit uint64, part float64) string {
	return strconv.FormatFloat(math.Floor(float64(limit)*part), 'f', 0, 64)
}

// openInodes says how many inodes the kernel holds.
func openInodes(r *report) error {
	text, err := r.read("proc/sys/fs/inode-nr")
	if err != nil {
		return err
	}
	var n [2]uint64 // allocated, free among them
	if uints(text, n[:]) < 2 {
		return errors.New("/proc/sys/fs/inode-nr does not hold two numbers")
	}
	r.graph("graph_title Inode table usage\ngraph_args --base 1000 -l 0\ngraph_vlabel number of open inodes\n" +
		"graph_category system\ngraph_info Inodes that the kernel holds in memory; the table grows and shrinks by itself.")
	r.field("used", "label open inodes\ninfo Inodes in use.")
	r.levels("used", "", "")
	// The two counters are not read at the same instant and can cross.
	r.uint("used", n[0]-min(n[0], n[1]))
	r.field("max", "label inode table size\ninfo Inodes in the table, those that are free included.")
	r.levels("max", "", "")
	r.uint("max", n[0])
	return nil
}
