package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"corbie/master/poll"
	"corbie/munin"
	"corbie/munin/wire/demo"
	"corbie/storage"
	"corbie/storage/series"
)

// demoMark is the file by which a folder is known to hold a demonstration: only such a folder is emptied.
const demoMark = "corbie-demo"

// demoSamples is how much of the history is there sample by sample, but never more than half of it; before it there are hours.
const demoSamples = 35 * 24 * time.Hour

type demoFlags struct {
	dir     string
	listen  string
	history string
	seed    uint64
}

func (p *program) demoCommand() *cobra.Command {
	var flags demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve thirty made-up hosts with a year of history, to look at Corbie",
		Long: `demo makes up thirty hosts in four groups, writes a year of their history, and serves
them like real ones: their nodes answer on loopback ports, the master polls them
every five minutes. There are problems to find: a host is silent, a disk has failed,
two disks fill up, a mail queue grows, and pages are slow since a deploy at 14:05.

All of it follows from --seed and the clock. It needs half a minute before it serves,
and 400 MB in a temporary folder, which goes when it ends, or in --dir, which is
emptied at the next start. It reads no configuration and sends no notices.`,
		Example: "  corbie demo --listen 127.0.0.1:8080",
		Args:    usageArgs(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.demo(cmd.Context(), flags) },
	}
	cmd.Flags().StringVar(&flags.dir, "dir", "", "folder for configuration and data (default: a temporary one)")
	cmd.Flags().StringVar(&flags.listen, "listen", "127.0.0.1:8080", "address of the pages")
	cmd.Flags().StringVar(&flags.history, "history", "1y", "how much history there is")
	cmd.Flags().Uint64Var(&flags.seed, "seed", 1, "what happens follows from this number")
	return cmd
}

func (p *program) demo(ctx context.Context, flags demoFlags) (err error) {
	history, err := munin.ParseDuration(flags.history)
	if err != nil || history < 24*time.Hour || history > 5*365*24*time.Hour {
		return usageError{errors.New("--history: want a time from 1d to 5y")}
	}
	remove, err := flags.folder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	d := demonstration{p: p, dir: flags.dir, now: time.Now()}
	d.fleet = demo.New(demo.Options{Seed: flags.seed, Now: d.now, Location: time.Local})
	listeners, err := d.fleet.Listen(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.fleet.Serve(ctx, listeners) })
	group.Go(func() error {
		defer cancel() // the nodes go with the master
		if err := d.prepare(ctx, history); err != nil {
			return err
		}
		p.configPath, p.dataDir, p.muninConf = d.file("corbie.yml"), d.file("data"), ""
		return p.serve(ctx, serveFlags{listen: flags.listen})
	})
	return group.Wait()
}

// folder makes the folder, or empties the one of the last time.
func (f *demoFlags) folder() (remove func() error, err error) {
	if f.dir == "" {
		f.dir, err = os.MkdirTemp("", "corbie-demo-")
		return func() error { return os.RemoveAll(f.dir) }, err
	}
	if err = f.empty(); err == nil {
		err = os.MkdirAll(filepath.Join(f.dir, "data"), 0o750)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(f.dir, demoMark), []byte("Made by \"corbie demo\", which empties this folder.\n"), 0o600)
	}
	return func() error { return nil }, err
}

// empty deletes the data of the last time.
func (f *demoFlags) empty() error {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, demoMark)); err != nil {
		return usageError{fmt.Errorf("--dir: %s holds other things than a demonstration: name a folder of its own", f.dir)}
	}
	data := filepath.Join(f.dir, "data")
	if _, err := os.Stat(data); err != nil {
		return nil //nolint:nilerr // there is nothing to delete
	}
	// A master that still runs there is noticed before anything is deleted.
	release, err := storage.Lock(data)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(data), release()); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// demonstration is a made-up fleet on its way into a data folder.
type demonstration struct {
	p     *program
	dir   string
	first time.Time // of the history
	now   time.Time
	fleet *demo.Fleet
	polls []*munin.Poll // parallel to the hosts
}

func (d *demonstration) file(name string) string { return filepath.Join(d.dir, name) }

// prepare writes configuration, catalogue and history, as if a master had been at work for a year.
func (d *demonstration) prepare(ctx context.Context, history time.Duration) (err error) {
	release, err := storage.Lock(d.file("data"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	fmt.Fprintf(d.p.stderr, "corbie: writing %s of history of %d hosts\n", munin.FormatDuration(history), len(d.fleet.Hosts))
	if err := os.WriteFile(d.file("corbie.yml"), []byte(d.config()), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	// First the samples, so that counters go on from there.
	group, within := errgroup.WithContext(ctx)
	d.first = d.now.Add(-history)
	edge := d.now.Add(-min(demoSamples, history/2)).Truncate(24 * time.Hour)
	group.Go(func() error {
		return series.WriteBlocks(within, storage.RawDir(d.file("data")), d.fleet.Readings(edge, d.now))
	})
	d.pollAll(within)
	d.fleet.Hush()
	group.Go(func() error { return d.hours(within, d.first, edge) })
	if err := group.Wait(); err != nil {
		return err
	}
	return d.catalogue(ctx)
}

// pollAll asks every node once what there is.
func (d *demonstration) pollAll(ctx context.Context) {
	d.polls = make([]*munin.Poll, len(d.fleet.Hosts))
	var group errgroup.Group
	group.SetLimit(8)
	for i, h := range d.fleet.Hosts {
		group.Go(func() error {
			d.polls[i] = poll.Session(ctx, poll.Target{Host: h.ID, Address: h.Address(), Interval: demo.Step}, poll.SessionOptions{Slot: d.now.Truncate(demo.Step)})
			return nil
		})
	}
	_ = group.Wait() // none fails
}

// config is the corbie.yml of the fleet.
func (d *demonstration) config() string {
	var b strings.Builder
	b.WriteString("# The made-up hosts of \"corbie demo\".\ninterval: 5m\nhosts:\n")
	vendors := []string{"Dell", "HPE", "Lenovo"}
	for i, h := range d.fleet.Hosts {
		fmt.Fprintf(&b, "  %q: {address: %q, roles: [%s], tags: [%s], facts: {vendor: %s, serial: CB%05d, rack: %c%d}}\n", string(h.ID), h.Address(),
			strings.Join(h.Roles, ", "), strings.Join(h.Tags, ", "), vendors[i%3], 20117+i*7919%80000, 'A'+rune(i/10), 1+i%10)
	}
	b.WriteString("roles:\n")
	seen := make(map[string]bool)
	for _, h := range d.fleet.Hosts {
		for _, role := range h.Roles {
			if !seen[role] {
				seen[role] = true
				fmt.Fprintf(&b, "  %s: {tags: [role=%s]}\n", role, role)
			}
		}
	}
	return b.String()
}
