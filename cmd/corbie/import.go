package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/catalog"
	"corbie/storage/munindb"
)

// So many series or rows are stored together: an interruption costs no more, and no more memory is needed.
const (
	importBatch = 2000
	importRows  = 5_000_000
)

func (p *program) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Bring in the history of another system",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var dbdir string
	fromMunin := &cobra.Command{
		Use:   "munin",
		Short: "Bring in the history of a Munin master",
		Long: `munin reads the datafile and the RRD files in the dbdir of a Munin master and stores
every row of every field: averages, least and greatest values, at each resolution.
Graphs show this history up to where Corbie's own samples begin.

Stop the Corbie master first, and run this as its user. Groups and hosts should have
the same names in Corbie as in Munin; those that the configuration does not have
are named at the end, with what to do. What was brought in before is left as it
is, so an import that was interrupted is simply run again. 10,000 files take some
ten seconds, and 35 kB each in the data folder.`,
		Example: `  corbie import munin --dbdir /var/lib/munin`,
		Args:    usageArgs(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.importMunin(cmd.Context(), dbdir) },
	}
	fromMunin.Flags().StringVar(&dbdir, "dbdir", "/var/lib/munin", "the folder with Munin's datafile and RRD files")
	cmd.AddCommand(fromMunin)
	return cmd
}

func (p *program) importMunin(ctx context.Context, dbdir string) error {
	data, err := p.findData()
	if err != nil {
		return err
	}
	if conf, err := p.loadConfig(config.Flags{Tolerant: true}); err == nil && conf.Elsewhere {
		return fmt.Errorf("with \"storage: remote\" samples are in %s, which takes no averages: what is brought in here would never be shown. "+
			"Have a master with \"storage: embedded\" for the time before, or keep Munin's pages for it", conf.Remote.Engine)
	}
	if err := checkOwner(data); err != nil {
		return err
	}
	hosts, err := readDatafile(filepath.Join(dbdir, "datafile"))
	if err != nil {
		return err
	}
	release, err := storage.Lock(data)
	if err != nil {
		return err
	}
	im := importer{p: p, dbdir: dbdir, data: data, progress: newProgress(p.stderr)}
	err = im.all(ctx, hosts)
	im.progress.end()
	if err = errors.Join(err, release()); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(p.stderr, "corbie: what was brought in so far stays; the same command brings in the rest")
		}
		return err
	}
	fmt.Fprintf(p.stdout, "%d fields of %d hosts: %d rows brought in; %d fields were there already, %d have no RRD file, %d could not be read\n",
		im.fields, len(hosts), im.rows, im.known, im.missing, im.failed)
	p.tellUnconfigured(hosts)
	if im.failed > 0 {
		return fmt.Errorf("%d RRD files could not be read", im.failed)
	}
	return nil
}

func readDatafile(path string) ([]munindb.Host, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, newer := os.Stat(path + ".sqlite"); newer == nil {
			return nil, fmt.Errorf("%s.sqlite is of Munin 3, whose database cannot be read: only that of Munin 2.0 (a file named datafile) can", path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the dbdir of a Munin master holds a file named datafile: %w", err)
	}
	defer f.Close()
	return munindb.ParseDatafile(bufio.NewReaderSize(f, 1<<20))
}

// importer brings the fields of a dbdir in, some at a time.
type importer struct {
	p           *program
	dbdir, data string
	progress    *progress
	have        map[time.Duration]map[munin.SeriesID]bool
	batch       []storage.History
	waiting     int // rows in batch

	fields, known, missing, failed, rows int
	total                                int // fields that there are
}

func (im *importer) all(ctx context.Context, hosts []munindb.Host) error {
	// Opened only to learn what is there: history is written past an open store.
	samples, err := storage.Open(im.data, storage.Options{})
	if err != nil {
		return err
	}
	im.have, err = samples.Imported(ctx)
	if err = errors.Join(err, samples.Close()); err != nil {
		return err
	}
	cat, err := catalog.Open(filepath.Join(im.data, catalogFile), catalog.Options{})
	if err != nil {
		return err
	}
	for i := range hosts {
		for k := range hosts[i].Graphs {
			im.total += len(hosts[i].Graphs[k].Fields)
		}
	}
	for i := range hosts {
		if err = im.host(ctx, cat, &hosts[i]); err != nil {
			break
		}
	}
	if err == nil {
		err = im.flush(ctx)
	}
	return errors.Join(err, cat.Close())
}

func (im *importer) host(ctx context.Context, cat *catalog.Catalog, h *munindb.Host) error {
	newest := time.Time{}
	for i := range h.Graphs {
		g := &h.Graphs[i]
		for k := range g.Fields {
			last, err := im.field(ctx, munin.SeriesID{Host: h.ID, Graph: g.Name, Field: g.Fields[k].Name}, &g.Fields[k])
			if err != nil {
				return err
			}
			if last.After(newest) {
				newest = last
			}
		}
	}
	if newest.IsZero() {
		return nil
	}
	known, err := cat.Graphs(ctx, h.ID)
	if err != nil || len(known) > 0 {
		return err
	}
	// The titles, as if Munin's last poll had been ours.
	return cat.Record(ctx, &munin.Poll{Host: h.ID, Banner: h.ID.Name(), Slot: newest, Start: newest, Graphs: h.Graphs})
}

// field reads one RRD file, and says when Munin last updated it.
func (im *importer) field(ctx context.Context, id munin.SeriesID, f *munin.Field) (last time.Time, err error) {
	im.progress.of(im.fields+im.known+im.missing+im.failed, im.total, "fields")
	name, ok := munindb.RRDPath(id.Host, id.Graph, f)
	if !ok {
		im.missing++
		return last, nil
	}
	rrd, err := munindb.ReadRRD(filepath.Join(im.dbdir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		im.missing++
		return last, nil
	case err != nil:
		im.failed++
		fmt.Fprintf(im.p.stderr, "corbie: %v\n", err)
		return last, nil
	}
	h := storage.History{Source: munin.Source{ID: id, Type: rrd.Type, Bounds: rrd.Bounds, Heartbeat: rrd.Heartbeat}}
	for _, a := range rrd.Archives {
		if len(a.Buckets) > 0 && !im.have[a.Size][id] {
			h.Archives = append(h.Archives, storage.Archive{Size: a.Size, Buckets: a.Buckets})
			im.rows += len(a.Buckets)
			im.waiting += len(a.Buckets)
		}
	}
	if len(h.Archives) == 0 {
		im.known++
		return rrd.Last, nil
	}
	im.fields++
	if im.batch = append(im.batch, h); len(im.batch) < importBatch && im.waiting < importRows {
		return rrd.Last, nil
	}
	return rrd.Last, im.flush(ctx)
}

// tellUnconfigured names the hosts that were brought in and are not in the configuration: their history is there, but not on the pages of any
// host that is polled. Often they are under another group there, as Munin makes one of a host's domain.
func (p *program) tellUnconfigured(hosts []munindb.Host) {
	conf, err := p.loadConfig(config.Flags{Tolerant: true})
	if err != nil || len(conf.Hosts) == 0 {
		return // Nothing is configured yet.
	}
	configured := make(map[munin.HostID]bool)
	called := make(map[string][]munin.HostID)
	for _, h := range conf.MuninHosts() {
		configured[h.ID] = true
		called[h.ID.Name()] = append(called[h.ID.Name()], h.ID)
	}
	var lines []string
	for _, h := range hosts {
		if configured[h.ID] {
			continue
		}
		line := "  " + string(h.ID)
		if same := called[h.ID.Name()]; len(same) == 1 {
			line += "   the same as " + string(same[0]) + "? Then: corbie rename " + quoted(string(h.ID)) + " " + quoted(string(same[0]))
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return
	}
	const most = 20
	fmt.Fprintf(p.stderr, "%s not in the configuration; the history of those is among the hosts that are no longer configured:\n%s\n",
		plural(len(lines), "host is", "hosts are"), strings.Join(lines[:min(len(lines), most)], "\n"))
	if len(lines) > most {
		fmt.Fprintf(p.stderr, "  and %d more\n", len(lines)-most)
	}
}

func (im *importer) flush(ctx context.Context) error {
	if len(im.batch) == 0 {
		return nil
	}
	err := storage.Import(ctx, im.data, im.batch)
	im.batch, im.waiting = nil, 0
	return err
}
