package plugins

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"corbie/munin"
)

// Types of file system that are left out where env.exclude does not say otherwise.
const (
	dfExclude      = "none unknown rootfs iso9660 squashfs udf romfs ramfs debugfs cgroup_root devtmpfs"
	dfInodeExclude = "none unknown iso9660 squashfs udf romfs ramfs vfat debugfs nilfs2 rootfs reiserfs"
)

// df says how full each local file system is, in percent of what programs may use.
//
// Settings: exclude (types of file system), include_re and exclude_re (patterns for the device or the mount
// point, separated by blanks; included wins) and levels.
func df(r *report) error {
	r.graph("graph_title Disk usage in percent\ngraph_args --upper-limit 100 -l 0\ngraph_vlabel %\ngraph_scale no\n" +
		"graph_category disk\ngraph_info How full the file systems are. A full one stops whatever writes to it.")
	return eachFileSystem(r, dfExclude, "Remove files, or make the file system larger.", func(fs FileSystem) (used, free uint64, ok bool) {
		return fs.Blocks - min(fs.Blocks, fs.Free), fs.Available, true
	})
}

// dfInode says how many of its files each local file system already has, in percent. One that has no fixed
// number of files is left out.
//
// Settings: as for df.
func dfInode(r *report) error {
	r.graph("graph_title Inode usage in percent\ngraph_args --upper-limit 100 -l 0\ngraph_vlabel %\ngraph_scale no\n" +
		"graph_category disk\ngraph_info How many of its files a file system already has. " +
		"Without inodes no file can be made, however much space there is.")
	return eachFileSystem(r, dfInodeExclude, "Find the folder with very many small files and remove them.", func(fs FileSystem) (used, free uint64, ok bool) {
		return fs.Files - min(fs.Files, fs.FreeFiles), fs.FreeFiles, fs.Files > 0
	})
}

// needDisks is the missing function of df and df_inode.
func needDisks(name string) func(*report) error {
	exclude := dfExclude
	if name == "df_inode" {
		exclude = dfInodeExclude
	}
	return func(r *report) error {
		mounts, err := localMounts(r, exclude)
		if err == nil && len(mounts) == 0 {
			err = errors.New("no devices to monitor")
		}
		return err
	}
}

// eachFileSystem says the fields of df or df_inode.
func eachFileSystem(r *report, exclude, advice string, usage func(FileSystem) (used, free uint64, ok bool)) error {
	mounts, err := localMounts(r, exclude)
	if err != nil {
		return err
	}
	skip, err := mountFilter(r)
	if err != nil {
		return err
	}
	said := make(map[string]bool, len(mounts))
	for _, m := range mounts {
		field := m.field()
		if said[field] && strings.HasPrefix(m.device, "/") {
			// Two devices whose names only look the same are told apart by mount point. Others can share a
			// name, as the overlays of containers do, and then show the same disk.
			field = cleanField(m.point)
		}
		if said[field] || skip(m) {
			continue
		}
		fs, err := r.set.measure(r, m.point)
		used, free, ok := usage(fs)
		if !errors.Is(err, errNoAnswer) && (err != nil || fs.Blocks == 0 || !ok) {
			continue
		}
		said[field] = true
		percent := 0.0
		if err != nil {
			percent = math.NaN()
		} else if used > 0 {
			percent = float64(used) / (float64(used) + float64(free)) * 100
		}
		r.fieldAttr(field, "label", m.point)
		r.field(field, "max 100")
		r.levels(field, "92", "98")
		r.advise(field, advice)
		r.number(field, percent, 6)
	}
	return r.err()
}

// mount is one line of /proc/self/mountinfo.
type mount struct {
	id     string // major:minor of the file system
	root   string // folder of the file system that is mounted
	point  string // where
	kind   string // type of file system
	device string
}

// field is the name that Munin gives the file system: that of the device, or of the mount point where the
// device says nothing.
func (m mount) field() string {
	switch m.device {
	case "tmpfs", "none", "udev", "simfs":
		return cleanField(m.point)
	}
	return cleanField(m.device)
}

// cleanField makes a field name as Munin's plugins do: illegal characters at the start together become one
// underscore, each other one becomes one, and "root" is avoided. What is too long is cut.
func cleanField(name string) string {
	if name == "root" {
		return "__root"
	}
	name = name[:min(len(name), munin.MaxNameBytes-10)]
	letter := func(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	var b strings.Builder
	start := 0
	for start < len(name) && !letter(name[start]) {
		start++
	}
	if start > 0 {
		b.WriteByte('_')
	}
	for i := start; i < len(name); i++ {
		if c := name[i]; letter(c) || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

// localMounts lists the file systems to look at, each once: neither network file systems, which can hang, nor
// those that hold no files.
func localMounts(r *report, exclude string) ([]mount, error) {
	text, err := r.read("proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	excluded := strings.Fields(r.setting("exclude", exclude))
	var mounts []mount
	for len(text) > 0 && len(mounts) < maxItems {
		var line []byte
		line, text = nextLine(text)
		m, ok := parseMount(line)
		if !ok {
			continue
		}
		if isRemote(m) || isDummy(m.kind) || slices.Contains(excluded, m.kind) {
			m.kind = ""
		}
		mounts = addMount(mounts, m)
	}
	kept := mounts[:0]
	for _, m := range mounts {
		if m.kind != "" {
			m.device = r.realDevice(m.device)
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// addMount adds a file system to the list unless it is there already under a better name. A mount over
// another takes its place; so one that is not to be looked at, with an empty kind, is listed too.
func addMount(mounts []mount, m mount) []mount {
	over := slices.IndexFunc(mounts, func(seen mount) bool { return seen.point == m.point })
	same := slices.IndexFunc(mounts, func(seen mount) bool {
		return seen.point != m.point && m.kind != "" && seen.kind != "" && seen.id == m.id
	})
	if same < 0 {
		if over < 0 {
			return append(mounts, m)
		}
		mounts[over] = m
		return mounts
	}
	seen := &mounts[same]
	nearer := len(m.point) < len(seen.point) && len(m.root) <= len(seen.root)
	if strings.Contains(m.device, "/") && !strings.Contains(seen.device, "/") || nearer {
		*seen = m
	}
	if over >= 0 {
		mounts = slices.Delete(mounts, over, over+1)
	}
	return mounts
}

// parseMount reads "36 35 98:0 /dir /mnt rw,noatime shared:1 - ext3 /dev/root rw".
func parseMount(line []byte) (m mount, ok bool) {
	before, after, ok := bytes.Cut(line, []byte(" - "))
	if !ok {
		return m, false
	}
	_, before = nextWord(before)
	_, before = nextWord(before)
	id, before := nextWord(before)
	root, before := nextWord(before)
	point, _ := nextWord(before)
	kind, after := nextWord(after)
	device, _ := nextWord(after)
	if len(point) == 0 || point[0] != '/' || len(kind) == 0 || len(device) == 0 {
		return m, false
	}
	return mount{
		id: string(id), root: unescapeMount(root), point: unescapeMount(point),
		kind: string(kind), device: unescapeMount(device),
	}, true
}

// unescapeMount undoes the kernel's \040 for blanks and other awkward characters.
func unescapeMount(text []byte) string {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text)
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) && isOctal(text[i+1]) && isOctal(text[i+2]) && isOctal(text[i+3]) {
			out = append(out, (text[i+1]-'0')<<6|(text[i+2]-'0')<<3|(text[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, text[i])
	}
	return string(out)
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// isRemote says whether another machine holds the files.
func isRemote(m mount) bool {
	switch m.kind {
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "auristorfs", "coda", "acfs", "fhgfs", "gpfs",
		"ibrix", "ocfs2", "vxfs", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "lustre":
		return true
	}
	return strings.Contains(m.device, ":") || strings.Contains(m.device, "//") || strings.HasPrefix(m.device, "-hosts")
}

// isDummy says whether a type of file system holds no files of its own.
func isDummy(kind string) bool {
	switch kind {
	case "autofs", "proc", "subfs", "debugfs", "devpts", "fusectl", "fuse.portal", "mqueue", "rpc_pipefs", "sysfs",
		"devfs", "kernfs", "ignore", "none", "cgroup", "cgroup2", "bpf", "tracefs", "securityfs", "pstore",
		"configfs", "binfmt_misc", "nsfs", "selinuxfs":
		return true
	}
	return false
}

// mountFilter says which file systems include_re and exclude_re leave out.
func mountFilter(r *report) (skip func(mount) bool, err error) {
	compile := func(name string) (list []*regexp.Regexp, err error) {
		for _, text := range strings.Fields(r.env[name]) {
			re, err := regexp.Compile(text)
			if err != nil {
				return nil, fmt.Errorf("env.%s: %w", name, err)
			}
			list = append(list, re)
		}
		return list, nil
	}
	include, err := compile("include_re")
	if err != nil {
		return nil, err
	}
	exclude, err := compile("exclude_re")
	if err != nil {
		return nil, err
	}
	match := func(list []*regexp.Regexp, m mount) bool {
		for _, re := range list {
			if re.MatchString(m.device) || re.MatchString(m.point) {
				return true
			}
		}
		return false
	}
	return func(m mount) bool { return !match(include, m) && match(exclude, m) }, nil
}

// errNoAnswer says that a file system did not answer in time.
var errNoAnswer = errors.New("the file system does not answer")

// asked is the questions to file systems that are on their way. One that never answers costs one waiting
// thread, not one a poll; several masters that ask at once share an answer.
type asked struct {
	mu     sync.Mutex
	points map[string]*question
}

type question struct {
	answered chan struct{} // closed when the next two are set
	fs       FileSystem
	err      error
	late     bool // somebody has waited in vain; guarded by asked.mu
}

// measure asks a file system for its size. It waits for the set's time at most, and not at all while a
// question is open that nobody expects an answer to any more.
func (s *Set) measure(r *report, point string) (FileSystem, error) {
	q, late := s.ask(point)
	if late {
		return FileSystem{}, errNoAnswer
	}
	timer := time.NewTimer(s.opts.StatfsTimeout)
	defer timer.Stop()
	select {
	case <-q.answered:
		return q.fs, q.err
	case <-timer.C:
		s.asked.mu.Lock()
		q.late = true
		s.asked.mu.Unlock()
		return FileSystem{}, errNoAnswer
	case <-r.done:
		return FileSystem{}, r.err()
	}
}

// ask gives the open question to a file system, or puts a new one.
func (s *Set) ask(point string) (q *question, late bool) {
	s.asked.mu.Lock()
	defer s.asked.mu.Unlock()
	if q := s.asked.points[point]; q != nil {
		return q, q.late
	}
	q = &question{answered: make(chan struct{})}
	if s.asked.points == nil {
		s.asked.points = make(map[string]*question)
	}
	s.asked.points[point] = q
	go func() {
		q.fs, q.err = s.opts.Statfs(point)
		s.asked.mu.Lock()
		delete(s.asked.points, point)
		s.asked.mu.Unlock()
		close(q.answered)
	}()
	return q, false
}
