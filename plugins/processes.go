package plugins

import (
	"bytes"
	"errors"
	"io/fs"
	"strconv"
)

// processes says how many processes there are in which state.
func processes(r *report) error {
	var total uint64
	var states [256]uint64
	err := eachProcess(r, func(_ string, stat []byte) {
		total++
		if word, _ := nextWord(stat); len(word) > 0 {
			states[word[0]]++
		}
	})
	if err != nil {
		return err
	}
	states['T'] += states['t'] // stopped by a debugger
	r.graph("graph_title Processes\ngraph_info How many processes there are, by what they are doing.\n" +
		"graph_category processes\ngraph_args --base 1000 -l 0\ngraph_vlabel Number of processes\n" +
		"graph_order sleeping idle stopped zombie dead paging uninterruptible runnable processes")
	for _, f := range [...]struct {
		name, colour string
		state        byte
		info         string
	}{
		{"dead", "ff0000", 'X', "On the way out; hardly ever seen."},
		{"paging", "00aaaa", 'W', "Being swapped; before Linux 2.6 only."},
		{"idle", "4169e1", 'I', "Kernel threads without work."},
		{"sleeping", "0022ff", 'S', "Waiting for something to happen."},
		{"uninterruptible", "ffa500", 'D', "Waiting for a disk or a network file system. Many for long: one of these does not answer."},
		{"stopped", "cc0000", 'T', "Stopped by a signal or a debugger."},
		{"runnable", "22ff22", 'R', "Running, or waiting for a processor."},
		{"zombie", "990000", 'Z', "Ended, but not yet collected by their parents. Many: a parent is broken; restart it."},
	} {
		r.field(f.name, "label "+f.name+"\ncolour "+f.colour+"\ninfo "+f.info)
		if f.name == "sleeping" {
			r.field(f.name, "draw AREA")
		} else {
			r.field(f.name, "draw STACK")
		}
		r.levels(f.name, "", "")
		r.uint(f.name, states[f.state])
	}
	r.field("processes", "label total\ndraw LINE1\ncolour c0c0c0\ninfo All processes.")
	r.levels("processes", "", "")
	r.uint("processes", total)
	return nil
}

// threads says how many threads all processes have together. The ceiling is the number of process numbers
// that the kernel gives out: beyond it nothing can be started.
func threads(r *report) error {
	var total uint64
	err := eachProcess(r, func(_ string, stat []byte) {
		if n, ok := statField(stat, 20); ok {
			total += n
		}
	})
	if err != nil {
		return err
	}
	r.graph("graph_title Number of threads\ngraph_vlabel number of threads\ngraph_category processes\n" +
		"graph_info Threads of all processes. When there are no process numbers left nothing can be started.")
	r.field("threads", "label threads\ninfo Threads at this moment.")
	warning, critical := "", ""
	if most, ok := r.readUint("proc/sys/kernel/pid_max"); ok {
		warning, critical = share(most, 0.92), share(most, 0.98)
	}
	r.levels("threads", warning, critical)
	r.advise("threads", "Find the program that starts too many, or raise kernel.pid_max.")
	r.uint("threads", total)
	return nil
}

// procPri says how many processes have raised or lowered priority, and how many hold memory in place.
func procPri(r *report) error {
	var low, high uint64
	var programs []string
	err := eachProcess(r, func(pid string, stat []byte) {
		if nice, ok := statWord(stat, 19); ok && len(nice) > 0 && string(nice) != "0" {
			if nice[0] == '-' {
				high++
			} else {
				low++
			}
		}
		// A kernel thread has no memory of its own to lock.
		if size, ok := statField(stat, 23); r.values && ok && size > 0 {
			programs = append(programs, pid)
		}
	})
	if err != nil {
		return err
	}
	var locked uint64
	for _, pid := range programs {
		if status, err := r.read("proc/" + pid + "/status"); err == nil {
			if n, ok := numberOf(status, "VmLck:"); ok && n > 0 {
				locked++
			}
		}
	}
	r.graph("graph_title Processes priority\ngraph_order low high locked\ngraph_category processes\n" +
		"graph_info Processes whose priority is not the usual one.\ngraph_args --base 1000 -l 0\ngraph_vlabel Number of processes")
	r.field("high", "label high priority\ndraw STACK\ninfo Served before others.")
	r.levels("high", "", "")
	r.uint("high", high)
	r.field("low", "label low priority\ndraw AREA\ninfo Served after others.")
	r.levels("low", "", "")
	r.uint("low", low)
	r.field("locked", "label locked in memory\ndraw STACK\ninfo With memory that is never swapped out.")
	r.levels("locked", "", "")
	r.uint("locked", locked)
	return r.err()
}

// eachProcess calls do with the number of each process and its line of /proc/PID/stat, from the third field,
// the state, onwards. A process that ends meanwhile is left out.
func eachProcess(r *report, do func(pid string, stat []byte)) error {
	entries, err := fs.ReadDir(r.set.root, "proc")
	if err != nil {
		return err
	}
	found := false
	for _, entry := range entries {
		pid := entry.Name()
		if pid[0] < '0' || pid[0] > '9' {
			continue
		}
		if err := r.err(); err != nil {
			return err
		}
		text, err := r.read("proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		// The name, in parentheses, may hold anything.
		end := bytes.LastIndexByte(text, ')')
		if end < 0 {
			continue
		}
		found = true
		do(pid, text[end+1:])
	}
	if !found {
		return errors.New("no process can be seen in /proc")
	}
	return nil
}

// statWord is a field of /proc/PID/stat by its number in proc(5), of a text that begins with field 3.
func statWord(stat []byte, number int) ([]byte, bool) {
	var word []byte
	for i := 3; i <= number; i++ {
		word, stat = nextWord(stat)
	}
	return word, len(word) > 0
}

func statField(stat []byte, number int) (uint64, bool) {
	word, ok := statWord(stat, number)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseUint(string(word), 10, 64)
	return v, err == nil
}
