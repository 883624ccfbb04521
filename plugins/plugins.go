// Package plugins holds the plugins that the node runs without starting a program: the machine's processors,
// memory, disks, network and processes, read from /proc and /sys.
//
// A native plugin says what Munin's plugin of the same name says: the same graphs, fields, types and draws,
// so that a host's history goes on when its node is replaced. It takes the same settings from its
// environment. What a machine does not have is not offered, and nothing is made up: a number that cannot be
// read is left out or unknown.
//
// Each plugin is one function over a report, in a file of its own or with its kin, and one line in the table
// that New builds.
// The function says the description and the values of a field side by side, and the report prints whichever
// was asked for; so a value without a description cannot happen.
package plugins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"corbie/munin"
)

// Options are what a Set needs besides the files of the machine. The zero value is right for a node.
type Options struct {
	// Statfs measures the file system at a mount point. Nil asks the kernel.
	Statfs func(path string) (FileSystem, error)
	// StatfsTimeout is how long one file system may take to answer before its values are unknown; zero means
	// two seconds.
	StatfsTimeout time.Duration
	// Now is the clock of the plugins that compute rates by themselves. Nil means time.Now.
	Now func() time.Time
}

// FileSystem is what statfs knows of one mounted file system. Free counts what root may still use, Available
// what everybody may.
type FileSystem struct {
	BlockSize               uint64 // in bytes
	Blocks, Free, Available uint64 // in blocks
	Files, FreeFiles        uint64 // inodes; both 0 where the file system does not count them
}

// Set is the plugins of one machine. It may be used by several goroutines.
type Set struct {
	root    fs.FS
	opts    Options
	table   []definition
	scratch sync.Pool // *[]byte, for reading files
	past    past
	asked   asked
}

// definition is one plugin.
type definition struct {
	// name as on the wire; that of a wildcard ends with an underscore, and what follows it is the instance.
	name string
	// missing says why the plugin is of no use on this machine, and nil when it is.
	missing func(*report) error
	// instances lists what a wildcard plugin can watch here; nil for other plugins.
	instances func(*report) []string
	// report says the plugin's graphs.
	report func(*report) error
}

// New makes the set of plugins of the machine whose root directory is given: os.DirFS("/") for this one. It
// reads nothing yet.
func New(root fs.FS, opts Options) *Set {
	if opts.Statfs == nil {
		opts.Statfs = statfs
	}
	if opts.StatfsTimeout <= 0 {
		opts.StatfsTimeout = 2 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Set{root: root, opts: opts, table: table()}
	s.scratch.New = func() any {
		b := make([]byte, 0, 16<<10)
		return &b
	}
	return s
}

// table lists every plugin. A longer name comes before the wildcard that begins it.
func table() []definition {
	return []definition{
		{name: "cpu", missing: needs("proc/stat"), report: cpu},
		{name: "df", missing: needDisks("df"), report: df},
		{name: "df_inode", missing: needDisks("df_inode"), report: dfInode},
		{name: "diskstats", missing: needDiskstats, report: diskstats},
		{name: "entropy", missing: needs("proc/sys/kernel/random/entropy_avail"), report: entropy},
		{name: "forks", missing: needs("proc/stat"), report: forks},
		{name: "fw_conntrack", missing: needs(conntrackFile), report: conntrack},
		{name: "fw_forwarded_local", missing: needs(conntrackFile), report: forwardedLocal},
		{name: "fw_packets", missing: needs("proc/net/snmp"), report: fwPackets},
		{name: "if_err_", missing: needInterfaces, instances: interfaceNames, report: interfaceErrors},
		{name: "if_", missing: needInterfaces, instances: interfaceNames, report: interfaceTraffic},
		{name: "interrupts", missing: needs("proc/stat"), report: interrupts},
		{name: "irqstats", missing: needs("proc/interrupts"), report: irqstats},
		{name: "load", missing: needs("proc/loadavg"), report: load},
		{name: "memory", missing: needs("proc/meminfo"), report: memory},
		{name: "netstat", missing: needs("proc/net/snmp"), report: netstat},
		{name: "open_files", missing: needs("proc/sys/fs/file-nr"), report: openFiles},
		{name: "open_inodes", missing: needs("proc/sys/fs/inode-nr"), report: openInodes},
		{name: "proc_pri", missing: needs("proc/stat"), report: procPri},
		{name: "processes", missing: needs("proc/stat"), report: processes},
		{name: "swap", missing: needs("proc/vmstat"), report: swap},
		{name: "threads", missing: needs("proc/stat"), report: threads},
		{name: "uptime", missing: needs("proc/uptime"), report: uptime},
		{name: "users", missing: needUsers, report: users},
		{name: "vmstat", missing: needs("proc/stat"), report: vmstat},
	}
}

// Names lists the plugins that are of use on this machine, sorted, with one name for each instance of a
// wildcard: if_eth0.
func (s *Set) Names() []string {
	var names []string
	for i := range s.table {
		d := &s.table[i]
		r := s.newReport(context.Background(), nil)
		if d.missing(r) != nil {
			r.close()
			continue
		}
		if d.instances == nil {
			names = append(names, d.name)
		} else {
			for _, instance := range d.instances(r) {
				names = append(names, d.name+instance)
			}
		}
		r.close()
	}
	slices.Sort(names)
	return names
}

// Run runs one plugin once. The verb is empty for the values, or config, autoconf, suggest. The environment
// is what plugin-conf.d gives the plugin and what the node adds; with MUNIN_CAP_DIRTYCONFIG set to 1, config
// prints the values too. The text is what a program would print, without the final dot of the protocol. The
// error wraps munin.ErrNotFound when there is no such plugin.
func (s *Set) Run(ctx context.Context, name, verb string, env map[string]string) ([]byte, error) {
	if err := munin.ValidatePluginName(name); err != nil {
		return nil, fmt.Errorf("native plugin: %w", err)
	}
	d, instance := s.lookup(name)
	if d == nil {
		return nil, fmt.Errorf("native plugin %s: %w", name, munin.ErrNotFound)
	}
	r := s.newReport(ctx, env)
	defer r.close()
	r.plugin, r.instance = name, instance
	err := d.run(r, verb)
	if ended := ctx.Err(); ended != nil {
		err = ended
	}
	if err != nil {
		return nil, fmt.Errorf("native plugin %s %s: %w", name, cmp.Or(verb, "fetch"), err)
	}
	return r.out, nil
}

func (d *definition) run(r *report, verb string) error {
	switch verb {
	case "autoconf":
		if err := d.missing(r); err != nil {
			r.print("no (", err.Error(), ")\n")
			return nil
		}
		r.print("yes\n")
		return nil
	case "suggest":
		if d.instances != nil && d.missing(r) == nil {
			for _, instance := range d.instances(r) {
				r.print(instance, "\n")
			}
		}
		return nil
	case "config":
		r.config, r.values = true, r.env["MUNIN_CAP_DIRTYCONFIG"] == "1"
	case "":
		r.values = true
	default:
		return errors.New("the verb must be config, autoconf, suggest or none")
	}
	if d.instances != nil && r.instance == "" {
		return fmt.Errorf("name what to watch, as in %s%s", d.name, "NAME")
	}
	if err := d.missing(r); err != nil {
		return err
	}
	return d.report(r)
}

// lookup finds the plugin of a name, and what a wildcard is to watch.
func (s *Set) lookup(name string) (d *definition, instance string) {
	for i := range s.table {
		d := &s.table[i]
		if name == d.name {
			return d, ""
		}
		if rest, ok := strings.CutPrefix(name, d.name); ok && d.instances != nil {
			return d, rest
		}
	}
	return nil, ""
}
