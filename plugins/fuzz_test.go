package plugins_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"corbie/plugins"
)

func nativeOne() []byte { return binary.NativeEndian.AppendUint16(nil, 1) }

// filesRead is every file that a plugin reads.
var filesRead = []string{
	"proc/stat", "proc/loadavg", "proc/meminfo", "proc/vmstat", "proc/uptime", "proc/diskstats", "proc/interrupts",
	"proc/self/mountinfo", "proc/net/dev", "proc/net/snmp", "proc/net/nf_conntrack", "proc/sys/net/nf_conntrack_max",
	"proc/sys/fs/file-nr", "proc/sys/fs/inode-nr", "proc/sys/kernel/random/entropy_avail", "proc/sys/kernel/pid_max",
	"proc/1/stat", "proc/1/status", "sys/block/dm-0/dm/name", "sys/kernel/mm/ksm/run", "sys/kernel/mm/ksm/pages_sharing",
	"sys/class/net/eth0/speed", "run/utmp", "run/systemd/sessions/1",
}

// FuzzAnyFileContents gives every file of the machine the same text. Whatever it is, a plugin either fails or
// says something that a master takes without a complaint.
func FuzzAnyFileContents(f *testing.F) {
	for _, machine := range []string{"server", "container"} {
		for _, name := range filesRead {
			if text, err := os.ReadFile(filepath.Join("testdata", "machines", machine, name)); err == nil {
				f.Add(text)
			}
		}
	}
	for _, text := range []string{
		"", "\n", ":", "0", "18446744073709551616", "-1", "NaN", "cpu", "cpu  1 2 3 4\ncpu0", "\x00\xff", "1 (x", "1 () ",
		"CPU0\n 1: 1\n", "1 1 1:1 / / - \n", "1 1 1:1 / /a - ext4 \\040\\377 rw", "1 0 dm-0 1 1 1 1 1 1 1 1 1 1 1",
		"Tcp:\nTcp:\n", "Tcp: ActiveOpens\nTcp: 1", "eth0: 1 2 3", strings.Repeat("9", 5000), "tcp src= dst= sport= src= dst=",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		root := fstest.MapFS{}
		for _, name := range filesRead {
			root[name] = &fstest.MapFile{Data: text}
		}
		set := plugins.New(root, plugins.Options{Statfs: func(string) (plugins.FileSystem, error) {
			n := uint64(len(text))
			return plugins.FileSystem{BlockSize: n, Blocks: n, Free: ^n, Available: ^n, Files: n, FreeFiles: n / 2}, nil
		}})
		for _, name := range append(set.Names(), "if_eth0", "if_err_eth0", "users", "processes", "threads", "proc_pri") {
			config, err := set.Run(t.Context(), name, "config", nil)
			if err != nil {
				continue
			}
			fetch, err := set.Run(t.Context(), name, "", nil)
			if err != nil {
				t.Errorf("%s can be described but not read: %v", name, err)
				continue
			}
			checkTexts(t, name, config, fetch)
		}
	})
}

// TestAMissingFileIsNoCrash takes away one file after the other.
func TestAMissingFileIsNoCrash(t *testing.T) {
	dir := os.DirFS("testdata/machines/server")
	for _, gone := range filesRead {
		set := plugins.New(without{dir, gone}, plugins.Options{})
		for _, name := range set.Names() {
			config, err := set.Run(t.Context(), name, "config", nil)
			if err != nil {
				t.Errorf("without %s, %s is offered but fails: %v", gone, name, err)
				continue
			}
			if fetch, err := set.Run(t.Context(), name, "", nil); err != nil {
				t.Errorf("without %s, %s: %v", gone, name, err)
			} else {
				checkTexts(t, name, config, fetch)
			}
		}
	}
}

// without is a file system that lacks one file.
type without struct {
	fs.FS
	gone string
}

func (w without) Open(name string) (fs.File, error) {
	if name == w.gone {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
	}
	return w.FS.Open(name)
}

// BenchmarkAllPlugins is what one poll of this machine costs the node, processes and file systems included.
func BenchmarkAllPlugins(b *testing.B) {
	set := plugins.New(os.DirFS("/"), plugins.Options{})
	names := set.Names()
	b.ReportAllocs()
	for b.Loop() {
		for _, name := range names {
			run(b, set, name, "", nil)
		}
	}
}

// BenchmarkEachPlugin tells them apart.
func BenchmarkEachPlugin(b *testing.B) {
	set := plugins.New(os.DirFS("/"), plugins.Options{})
	for _, name := range set.Names() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run(b, set, name, "", nil)
			}
		})
	}
}
