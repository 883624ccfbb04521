package plugins

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// diskstats says how busy each disk is: how long requests wait, how much of the time there are any, how many
// bytes and how many requests there are a second; for all disks and, one page down, for each.
//
// The numbers are means over the time since the last time that the same master asked; the first time they
// are unknown.
//
// Settings: include_only or exclude (device names or parts of them, separated by commas), graph_width,
// trim_labels (do not widen the graph for long names) and levels.
func diskstats(r *report) error {
	disks, err := readDisks(r)
	if err != nil {
		return err
	}
	if disks, err = chosenDisks(r, disks); err != nil {
		return err
	}
	if r.values {
		r.set.past.compare(r, disks)
	}
	r.diskOverview(disks)
	for i := range disks {
		r.diskDetail(&disks[i])
	}
	return nil
}

// disk is one block device and what it did.
type disk struct {
	name  string // the kernel's
	label string // the same, or what device-mapper calls it
	id    string // label as a field name
	diskCounters
	diskRates
}

// diskCounters is what the kernel counts since the start, in the order of the kernel's columns; times are in
// milliseconds and sectors are 512 bytes.
type diskCounters struct {
	reads, readMerges, readSectors, readTime     uint64
	writes, writeMerges, writeSectors, writeTime uint64
	inFlight, busyTime, queueTime                uint64
}

// diskRates is what happened in a while; NaN is unknown.
type diskRates struct {
	busy                         float64 // percent of the time
	service, wait, readW, writeW float64 // seconds a request
	readBytes, writeBytes        float64 // a second
	readOps, writeOps            float64 // a second
	readSize, writeSize          float64 // of a request, in 1000 bytes
}

// timed says whether the device measures how long its requests take.
func (d *disk) timed() bool { return d.readTime > 0 || d.writeTime > 0 }

func needDiskstats(r *report) error {
	disks, err := readDisks(r)
	if err == nil && len(disks) == 0 {
		err = errors.New("no disk has been used yet")
	}
	return err
}

// readDisks lists the disks that have had anything to do, sorted by name with those of device-mapper last.
// Partitions are left out: what they do, their disks do.
func readDisks(r *report) ([]disk, error) {
	text, err := r.read("proc/diskstats")
	if err != nil {
		return nil, err
	}
	var disks []disk
	for len(text) > 0 && len(disks) < maxItems {
		var line []byte
		line, text = nextLine(text)
		if d, ok := parseDisk(line); ok && d.reads+d.writes > 0 {
			disks = append(disks, d)
		}
	}
	disks = wholeDisks(r, disks)
	for i := range disks {
		d := &disks[i]
		d.label = mappedName(r, d.name)
		d.id = cleanField(d.label)
	}
	isMapped := func(d disk) bool { return strings.HasPrefix(d.name, "dm-") }
	slices.SortFunc(disks, func(a, b disk) int {
		if isMapped(a) != isMapped(b) {
			if isMapped(a) {
				return 1
			}
			return -1
		}
		return strings.Compare(a.name, b.name)
	})
	return slices.CompactFunc(disks, func(a, b disk) bool { return a.id == b.id }), nil
}

// parseDisk reads a line of /proc/diskstats: major, minor, name and at least eleven numbers.
func parseDisk(line []byte) (d disk, ok bool) {
	_, line = nextWord(line)
	_, line = nextWord(line)
	name, line := nextWord(line)
	var n [11]uint64
	if len(name) == 0 || len(name) > 100 || bytes.ContainsFunc(name, notPrintable) || uints(line, n[:]) < len(n) {
		return d, false
	}
	d.name = string(name)
	d.diskCounters = diskCounters{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10]}
	return d, true
}

func notPrintable(c rune) bool { return c <= ' ' || c > '~' }

// wholeDisks drops the partitions: what /sys/block does not list or, where that is missing, what is called
// like a disk and a number.
func wholeDisks(r *report, disks []disk) []disk {
	entries, err := fs.ReadDir(r.set.root, "sys/block")
	if err == nil && len(entries) > 0 {
		whole := make(map[string]bool, len(entries))
		for _, entry := range entries {
			whole[strings.ReplaceAll(entry.Name(), "!", "/")] = true
		}
		return slices.DeleteFunc(disks, func(d disk) bool { return !whole[d.name] })
	}
	names := make(map[string]bool, len(disks))
	for _, d := range disks {
		names[d.name] = true
	}
	return slices.DeleteFunc(disks, func(d disk) bool {
		parent := strings.TrimRight(d.name, "0123456789")
		if parent == d.name || parent == "" {
			return false
		}
		if base, ok := strings.CutSuffix(parent, "p"); ok && names[base] {
			return true
		}
		return names[parent]
	})
}

// mappedName is what device-mapper calls a device, such as vg/lv or mapper/crypt; other devices keep theirs.
func mappedName(r *report, name string) string {
	if !strings.HasPrefix(name, "dm-") || strings.Contains(name, "/") {
		return name
	}
	text, err := r.read("sys/block/" + name + "/dm/name")
	if err != nil {
		return name
	}
	mapped := string(bytes.TrimSpace(text))
	if len(mapped) > 128 || strings.ContainsFunc(mapped, notPrintable) || !fs.ValidPath("dev/mapper/"+mapped) || strings.Contains(mapped, "/") || !r.exists("dev/mapper/"+mapped) {
		return name
	}
	// LVM joins group and volume by a dash, and doubles the dashes within each.
	for i := 1; i+1 < len(mapped); i++ {
		if mapped[i] == '-' && mapped[i-1] != '-' && mapped[i+1] != '-' {
			undouble := func(s string) string { return strings.ReplaceAll(s, "--", "-") }
			volume := undouble(mapped[:i]) + "/" + undouble(mapped[i+1:])
			if fs.ValidPath("dev/"+volume) && r.exists("dev/"+volume) {
				return volume
			}
			break
		}
	}
	return "mapper/" + mapped
}

// chosenDisks keeps the disks that include_only or exclude leave.
func chosenDisks(r *report, disks []disk) ([]disk, error) {
	include, exclude := r.env["include_only"], r.env["exclude"]
	if include != "" && exclude != "" {
		return nil, errors.New("env.include_only and env.exclude cannot be used together: keep one")
	}
	if include == "" && exclude == "" {
		return disks, nil
	}
	listed := func(d disk) bool {
		for _, part := range strings.Split(include+exclude, ",") {
			part = strings.TrimPrefix(strings.TrimSpace(part), "/dev/")
			if part != "" && (strings.Contains(d.name, part) || strings.Contains(d.label, part)) {
				return true
			}
		}
		return false
	}
	return slices.DeleteFunc(disks, func(d disk) bool { return listed(d) != (include != "") }), nil
}

// past remembers what the disks had done when each master last asked.
type past struct {
	mu      sync.Mutex
	masters map[string]*memoryOf
}

type memoryOf struct {
	last, before snapshot
}

type snapshot struct {
	at    time.Time
	disks map[string]diskCounters
}

// Limits on what past remembers: a rate over less than the shortest span is too coarse, one over more than the
// longest says nothing about now.
const (
	maxMasters   = 32
	shortestSpan = 5 * time.Second
	longestSpan  = time.Hour
)

// compare fills in the rates of the disks since the same master last asked, and remembers their counters.
func (p *past) compare(r *report, disks []disk) {
	now := r.set.opts.Now()
	counters := make(map[string]diskCounters, len(disks))
	for i := range disks {
		counters[disks[i].name] = disks[i].diskCounters
	}
	base := p.advance(r.env["MUNIN_STATEFILE"]+"\n"+r.env["MUNIN_MASTER_IP"], snapshot{now, counters})
	span := now.Sub(base.at)
	usable := base.disks != nil && span >= shortestSpan && span <= longestSpan
	for i := range disks {
		d := &disks[i]
		before, ok := base.disks[d.name]
		if !ok || !usable {
			d.diskRates = unknownRates()
			continue
		}
		d.diskRates = ratesBetween(before, d.diskCounters, span.Seconds())
	}
}

// advance remembers a snapshot and gives the one to compare it with: the last, or the one before where the
// last is too recent, which is then kept.
func (p *past) advance(master string, now snapshot) snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.masters[master]
	if m == nil {
		if p.masters == nil || len(p.masters) >= maxMasters {
			p.masters = make(map[string]*memoryOf)
		}
		p.masters[master] = &memoryOf{last: now}
		return snapshot{}
	}
	if span := now.at.Sub(m.last.at); span >= 0 && span < shortestSpan {
		return m.before
	}
	m.before, m.last = m.last, now
	return m.before
}

func unknownRates() diskRates {
	u := math.NaN()
	return diskRates{u, u, u, u, u, u, u, u, u, u, u}
}

// ratesBetween compares two readings that are so many seconds apart. A counter that went back was started
// anew: nothing is known then.
func ratesBetween(a, b diskCounters, seconds float64) diskRates {
	if b.reads < a.reads || b.writes < a.writes || b.readSectors < a.readSectors || b.writeSectors < a.writeSectors {
		return unknownRates()
	}
	const sector = 512
	reads, writes := float64(b.reads-a.reads), float64(b.writes-a.writes)
	readBytes, writeBytes := float64(b.readSectors-a.readSectors)*sector, float64(b.writeSectors-a.writeSectors)*sector
	readTime, writeTime := wrapped(a.readTime, b.readTime)/1000, wrapped(a.writeTime, b.writeTime)/1000
	busyTime := wrapped(a.busyTime, b.busyTime) / 1000
	return diskRates{
		busy:    min(busyTime/seconds, 1) * 100,
		service: mean(busyTime, reads+writes), wait: mean(readTime+writeTime, reads+writes),
		readW: mean(readTime, reads), writeW: mean(writeTime, writes),
		readBytes: readBytes / seconds, writeBytes: writeBytes / seconds,
		readOps: reads / seconds, writeOps: writes / seconds,
		readSize: mean(readBytes/1000, reads), writeSize: mean(writeBytes/1000, writes),
	}
}

// wrapped is the difference of two readings of a time in milliseconds, which the kernel counts in 32 bits.
func wrapped(a, b uint64) float64 {
	if b < a && a < 1<<32 {
		b += 1 << 32
	}
	if b < a {
		return math.NaN()
	}
	return float64(b - a)
}

// mean is the share of one in a number of requests, zero where there were none.
func mean(sum, n float64) float64 {
	if n == 0 {
		return 0
	}
	return sum / n
}

// diskOverview says the four graphs that show all disks.
func (r *report) diskOverview(disks []disk) {
	width := r.diskGraphWidth(disks)
	begin := func(graph, lines string) {
		r.multigraph(r.plugin + "_" + graph)
		r.graph(lines + "\ngraph_category disk")
		r.attr("graph_width", width)
	}
	begin("latency", "graph_title Disk latency per device\ngraph_args --base 1000\ngraph_vlabel Average IO Wait (seconds)")
	for i := range disks {
		if d := &disks[i]; d.timed() {
			r.diskField(d.id+"_avgwait", d.label, "info How long a request took, its wait in the queue included.", d.wait)
		}
	}
	begin("utilization", "graph_title Utilization per device\ngraph_args --base 1000 --lower-limit 0 --upper-limit 100 --rigid\n"+
		"graph_vlabel % busy\ngraph_scale no")
	for i := range disks {
		if d := &disks[i]; d.timed() {
			r.diskField(d.id+"_util", d.label, "info For how much of the time there was any request.", d.busy)
		}
	}
	begin("throughput", "graph_title Throughput per device\ngraph_args --base 1024\n"+
		"graph_vlabel Bytes/${graph_period} read (-) / write (+)\ngraph_info Bytes read and written. One Ki is 1024 bytes.")
	for i := range disks {
		d := &disks[i]
		r.diskField(d.id+"_rdbytes", d.short(), "graph no", d.readBytes)
		r.diskField(d.id+"_wrbytes", d.short(), "negative "+d.id+"_rdbytes", d.writeBytes)
	}
	begin("iops", "graph_title Disk IOs per device\ngraph_args --base 1000\ngraph_vlabel IOs/${graph_period} read (-) / write (+)")
	for i := range disks {
		d := &disks[i]
		r.diskField(d.id+"_rdio", d.short(), "graph no", d.readOps)
		r.diskField(d.id+"_wrio", d.short(), "negative "+d.id+"_rdio", d.writeOps)
	}
}

// short is the label without the volume group.
func (d *disk) short() string { return d.label[strings.LastIndexByte(d.label, '/')+1:] }

func (r *report) diskField(field, label, lines string, value float64) {
	r.fieldAttr(field, "label", label)
	r.field(field, "type GAUGE\nmin 0\ndraw LINE1\n"+lines)
	r.number(field, value, 6)
}

// diskGraphWidth is the width of the graphs of all disks, which grows by steps where their names are long.
func (r *report) diskGraphWidth(disks []disk) string {
	width := 400
	if v, err := strconv.Atoi(r.env["graph_width"]); err == nil && v > 0 && v <= 4000 {
		width = v
	}
	if !r.yes("trim_labels") {
		const step = 50
		wanted := 0
		for i := range disks {
			// In characters of six pixels: the label, and the columns of numbers beside it.
			wanted = max(wanted, 6*(10+64+len(disks[i].short()))-97, 6*(10+32+len(disks[i].label))-97)
		}
		if wanted > width {
			width += (wanted - width + step - 1) / step * step
		}
	}
	return strconv.Itoa(width)
}

// diskDetail says the graphs of one disk.
func (r *report) diskDetail(d *disk) {
	begin := func(graph, title, lines string) {
		r.multigraph(r.plugin + "_" + graph + "." + d.id)
		r.attr("graph_title", title, " /dev/", d.label)
		r.graph(lines + "\ngraph_category disk")
	}
	if d.timed() {
		const advice = "Look for disk errors in the kernel log, and for who reads or writes so much."
		begin("latency", "Average latency for", "graph_args --base 1000 --logarithmic\ngraph_vlabel seconds\n"+
			"graph_info How long requests to the disk take. Whole seconds mean that it cannot keep up.")
		r.diskField("svctm", "Device IO time", "info Time that the disk itself works on a request, without the queue.", d.service)
		r.diskField("avgwait", "IO Wait time", "info Time from asking to answer, the queue included.", d.wait)
		r.diskField("avgrdwait", "Read IO Wait time", "info The same, of reading.", d.readW)
		r.levels("avgrdwait", "0:3", "")
		r.advise("avgrdwait", advice)
		r.diskField("avgwrwait", "Write IO Wait time", "info The same, of writing.", d.writeW)
		r.levels("avgwrwait", "0:3", "")
		r.advise("avgwrwait", advice)
		begin("utilization", "Disk utilization for", "graph_args --base 1000 --lower-limit 0 --upper-limit 100 --rigid\n"+
			"graph_vlabel % busy\ngraph_scale no")
		r.diskField("util", "Utilization", "info For how much of the time there was any request. "+
			"A disk at 100 % may still take more when it works on several at once.", d.busy)
	}
	begin("throughput", "Disk throughput for", "graph_args --base 1024\ngraph_vlabel Pr ${graph_period} read (-) / write (+)\n"+
		"graph_info Bytes read and written. One Ki is 1024 bytes.")
	r.diskField("rdbytes", "invisible", "graph no", d.readBytes)
	r.diskField("wrbytes", "Bytes", "negative rdbytes", d.writeBytes)
	begin("iops", "IOs for", "graph_args --base 1000\ngraph_vlabel Units read (-) / write (+)\n"+
		"graph_info Requests, and how large they are on average. Many small ones move less than few large ones.")
	r.diskField("rdio", "dummy", "graph no", d.readOps)
	r.diskField("wrio", "IO/sec", "negative rdio", d.writeOps)
	r.diskField("avgrdrqsz", "dummy", "graph no", d.readSize)
	r.diskField("avgwrrqsz", "Req Size (KB)", "negative avgrdrqsz\ninfo Mean size of a request in 1000 bytes.", d.writeSize)
}
