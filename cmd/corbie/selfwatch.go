package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"corbie/master/config"
	"corbie/master/self"
	"corbie/munin"
	"corbie/storage"
)

// selfHost is the host that the master is for itself.
func selfHost(conf *config.Config) munin.Host {
	const silentIntervals = 3
	return munin.Host{ID: self.Host, Interval: conf.Interval, Silent: silentIntervals * conf.Interval}
}

// watchesSelf is false when a host of the configuration has the name of the host that the master is for itself.
func watchesSelf(conf *config.Config) bool {
	for i := range conf.Hosts {
		if conf.Hosts[i].ID == self.Host {
			return false
		}
	}
	return true
}

// newSelfWatch makes what writes the master's own graphs; nil when the name is taken.
func (a *app) newSelfWatch() *self.Watch {
	if !watchesSelf(a.conf) {
		a.log.Warn("a configured host has the name of the master's own graphs: there are none", "host", string(self.Host))
		return nil
	}
	return self.New(self.Options{
		Interval: a.conf.Interval, Poller: a.poller, Sink: a.samples, Catalog: a.catalog, Observe: a.observe, Log: a.log,
		Process: func() (self.Process, error) {
			p, err := usage(a.dir)
			for _, r := range a.samples.Rejected() {
				p.Refused += r.Count
			}
			if since := a.samples.StoppedSince(); !since.IsZero() {
				p.Stopped, p.Why = max(time.Since(since), time.Second), a.samples.why()
			}
			p.SetAside = storage.SetAside(a.dir) + len(storage.LastVerified(a.dir).Faults)
			return p, err
		},
	})
}

// usage is what this program and its data folder use.
func usage(dir string) (p self.Process, err error) {
	var used syscall.Rusage
	var disk syscall.Statfs_t
	err = errors.Join(syscall.Getrusage(syscall.RUSAGE_SELF, &used), syscall.Statfs(dir, &disk))
	p.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	p.DiskFree = int64(disk.Bavail) * disk.Bsize //nolint:gosec // no disk is that large
	walk := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // Files come and go while the store is at work.
			}
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			p.DataBytes += info.Size()
		}
		return nil
	})
	var resident error
	p.Resident, resident = residentBytes()
	return p, errors.Join(err, walk, resident)
}

// residentBytes is the memory that this program holds.
func residentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	words := strings.Fields(string(text))
	if len(words) < 2 {
		return 0, fmt.Errorf("/proc/self/statm: %q", text)
	}
	pages, err := strconv.ParseInt(words[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// ready says why the master cannot do its work yet: that the catalogue cannot be read, or that its polls are all
// failing to be stored.
func (a *app) ready(ctx context.Context) error {
	if _, err := a.catalog.Host(ctx, string(self.Host)); err != nil && !errors.Is(err, munin.ErrNotFound) {
		return err
	}
	s := a.poller.Stats()
	switch {
	case !a.running.Load():
		return errors.New("the master is starting or stopping")
	case s.SinkErrors > 0 && s.Values == 0:
		return errors.New("no value could be stored yet; the log says why")
	case s.Hosts > 0 && s.Polls == 0:
		return errors.New("no poll is over yet")
	}
	return nil
}
