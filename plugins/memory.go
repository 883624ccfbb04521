package plugins

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// memory says what the machine's memory is used for, in bytes.
//
// Settings: levels of each field, in percent of the memory (of the swap space for swap) where they end
// with "%".
func memory(r *report) error {
	text, err := r.read("proc/meminfo")
	if err != nil {
		return err
	}
	known := meminfo(text)
	total := known["MemTotal"]
	if total == 0 {
		return errors.New("/proc/meminfo does not say MemTotal")
	}
	if saved := ksm(r); saved > 0 {
		known["KSM"] = saved
	}
	r.attr("graph_args", "--base 1024 -l 0 --upper-limit ", strconv.FormatUint(total, 10))
	r.graph("graph_vlabel Bytes\ngraph_title Memory usage\ngraph_category system\n" +
		"graph_info What the memory is used for. The stack adds up to all of it, with the swap space in use on top.")
	fields := memoryFields()
	fields = slices.DeleteFunc(fields, func(f memoryField) bool {
		_, there := known[f.key]
		return !there && !f.always
	})
	var order []string
	for _, f := range fields {
		if f.stacked {
			order = append(order, f.name)
		}
	}
	r.attr("graph_order", strings.Join(order, " "))
	for _, f := range fields {
		r.field(f.name, "label "+f.label)
		r.field(f.name, "draw "+f.draw+"\ncolour "+f.colour+"\ninfo "+f.info)
		ceiling := total
		if f.name == "swap" {
			ceiling = known["SwapTotal"]
		}
		if (f.name == "apps" || f.name == "swap") && ceiling > 0 {
			r.fieldAttr(f.name, "max", strconv.FormatUint(ceiling, 10))
		}
		r.levelsOf(f.name, "", "", float64(ceiling))
		r.number(f.name, memoryValue(known, f), 0)
	}
	return nil
}

// memoryValue is what a field holds: one line of /proc/meminfo, or a sum of several.
func memoryValue(known map[string]uint64, f memoryField) float64 {
	v := float64(known[f.key])
	switch f.name {
	case "apps":
		for _, part := range [...]string{"MemFree", "Buffers", "Cached", "Slab", "PageTables", "Percpu", "SwapCached"} {
			v -= float64(known[part])
		}
	case "cached":
		v -= float64(known["Shmem"])
	case "swap":
		v -= float64(known["SwapFree"])
	}
	return v
}

type memoryField struct {
	name, key           string // key is the word in /proc/meminfo
	label, draw, colour string
	stacked             bool // part of the sum of all memory
	always              bool // said even where /proc/meminfo lacks it
	info                string
}

// memoryFields lists the fields, the stacked ones in the order in which they are stacked.
func memoryFields() []memoryField {
	return []memoryField{
		{"apps", "MemTotal", "apps", "AREA", "COLOUR0", true, true, "Programs: what none of the other parts accounts for."},
		{"page_tables", "PageTables", "page_tables", "STACK", "COLOUR1", true, false, "Tables that map virtual to physical addresses."},
		{"per_cpu", "Percpu", "per_cpu", "STACK", "COLOUR20", true, false, "Kernel data that each processor has its own copy of."},
		{"swap_cache", "SwapCached", "swap_cache", "STACK", "COLOUR2", true, false, "Pages read back from swap and unchanged since."},
		{"slab", "Slab", "slab_cache", "STACK", "COLOUR3", true, false, "Kernel objects, mostly its caches of names and inodes."},
		{"shmem", "Shmem", "shmem", "STACK", "COLOUR9", true, false, "Shared memory and tmpfs."},
		{"cached", "Cached", "cache", "STACK", "COLOUR4", true, true, "Contents of files, kept in case they are read again."},
		{"buffers", "Buffers", "buffers", "STACK", "COLOUR5", true, true, "Blocks of disks, also those waiting to be written."},
		{"free", "MemFree", "unused", "STACK", "COLOUR6", true, true, "Used for nothing at all."},
		{"swap", "SwapTotal", "swap", "STACK", "COLOUR7", true, true, "Swap space in use."},
		{"vmalloc_used", "VmallocUsed", "vmalloc_used", "LINE2", "COLOUR8", false, false, "Virtually contiguous memory of the kernel."},
		{"committed", "Committed_AS", "committed", "LINE2", "COLOUR10", false, false, "Promised to programs, more than they use; steady growth hints at a leak."},
		{"mapped", "Mapped", "mapped", "LINE2", "COLOUR11", false, false, "Files and libraries mapped by programs."},
		{"active", "Active", "active", "LINE2", "COLOUR12", false, false, "Used lately, and taken back last."},
		{"inactive", "Inactive", "inactive", "LINE2", "COLOUR15", false, false, "Not used lately, and taken back first."},
		{"ksm_sharing", "KSM", "KSM sharing", "LINE2", "COLOUR19", false, false, "Saved by merging equal pages."},
	}
}

// meminfo reads the lines "Name:   123 kB" as bytes.
func meminfo(text []byte) map[string]uint64 {
	known := make(map[string]uint64, 64)
	for len(text) > 0 && len(known) < 1000 {
		var line []byte
		line, text = nextLine(text)
		name, rest, ok := bytes.Cut(line, []byte(":"))
		word, unit := nextWord(rest)
		v, isNumber := parseUint(word)
		unit, _ = nextWord(unit)
		if ok && isNumber && len(name) <= 40 && bytes.EqualFold(unit, []byte("kB")) && v < 1<<53 {
			known[string(name)] = v * 1024
		}
	}
	return known
}

// ksm is how many bytes merging equal pages saves, zero where that is off.
func ksm(r *report) uint64 {
	const pageSize = 4096
	if run, ok := r.readUint("sys/kernel/mm/ksm/run"); !ok || run == 0 {
		return 0
	}
	pages, _ := r.readUint("sys/kernel/mm/ksm/pages_sharing")
	return pages * pageSize
}
