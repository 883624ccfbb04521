package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
	"corbie/storage/rollup"
	"corbie/storage/series"
)

// So many values or steps of one series are in memory at a time; the years of a series come in pieces.
const exportPiece = 200_000

type exportFlags struct {
	from, to, step, format string
	all, progress          bool
}

// selection is what is exported, and how.
type selection struct {
	host   string // empty: all
	graph  string // empty: all
	span   munin.Range
	step   time.Duration // 0: raw values
	format string
}

func (f *exportFlags) selection(args []string, now time.Time) (selection, error) {
	s := selection{format: f.format}
	switch {
	case f.all && len(args) > 0:
		return s, usageError{errors.New("--all exports every host: leave out the name, or --all")}
	case !f.all && len(args) == 0:
		return s, usageError{errors.New("name a host ('corbie hosts' lists them), or say --all for all of them")}
	case len(args) > 0:
		s.host = args[0]
	}
	if len(args) > 1 {
		s.graph = args[1]
	}
	var err error
	if s.span, err = munin.ParseRange(f.from, f.to, now); err != nil {
		return s, usageError{err}
	}
	if f.step != "" {
		if s.step, err = munin.ParseDuration(f.step); err != nil || s.step <= 0 {
			return s, usageError{fmt.Errorf("--step %q: want a length of time such as 5m", f.step)}
		}
		s.step = max(s.step.Truncate(time.Millisecond), time.Millisecond)
	}
	if _, err := newRowSink(bufio.NewWriter(io.Discard), f.format); err != nil {
		return s, usageError{fmt.Errorf("--format %w", err)}
	}
	return s, nil
}

func (p *program) exportCommand() *cobra.Command {
	var flags exportFlags
	cmd := &cobra.Command{
		Use:   "export HOST [GRAPH]",
		Short: "Print the stored values of a host, of one of its graphs, or of all hosts",
		Long: `export prints every stored value of a host, of one of its graphs, or with --all of
every host, as the plugin said it: a counter is a counter. With --step it prints
what graphs show instead: rates, averaged over steps of the given length.

What was imported from Munin, and times of which only hours or days are left, hold
averages and no values as plugins said them: they are in an export with --step
(5m, 1h, 1d), and not in one without, which then says so in a line on stderr.

The formats: csv, with a heading; jsonl, one object a line; openmetrics, from which
'promtool tsdb create-blocks-from openmetrics' makes blocks for Prometheus, and
which VictoriaMetrics takes at /api/v1/import/prometheus. Values that are not known
are empty in csv, null in jsonl, and left out of openmetrics. The series of
openmetrics have the names and labels that they have in /api/v1; with --step they
have rollup="avg" as well, and the time at which the step begins.

promtool reads its whole input anew for every two hours that are in it: give it some
days at a time, by --from and --to.

It reads the data folder beside a running master, what was stored up to now. Memory
does not grow with how much is printed. How far it is is shown on a terminal.`,
		Example: `  corbie export site /srv/www/monitoring
  corbie export www1 df --from now-7d
  corbie export www1 if_eth0 --from 2026-01-01 --to 2026-02-01 --step 1h --format jsonl
  corbie export --all --from now-400d --progress | zstd > values.csv.zst
  corbie export --all --from now-30d --format openmetrics > values.txt
  promtool tsdb create-blocks-from openmetrics values.txt /var/lib/prometheus/metrics2`,
		Args: usageArgs(cobra.MaximumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := flags.selection(args, time.Now())
			if err != nil {
				return err
			}
			r, err := p.openReader()
			if err != nil {
				return err
			}
			shown := newExportProgress(p.stderr, p.stdout, flags.progress)
			err = p.export(cmd.Context(), r, want, shown)
			shown.end(err == nil)
			if left := shown.left.String(); err == nil && left != "" {
				fmt.Fprintln(p.stderr, "corbie: export:", left)
			}
			return errors.Join(err, r.close())
		},
	}
	cmd.AddCommand(p.exportSiteCommand())
	cmd.Flags().StringVar(&flags.from, "from", "now-24h", "begin: now-7d, 2006-01-02, 2006-01-02T15:04 or seconds since 1970")
	cmd.Flags().StringVar(&flags.to, "to", "now", "end, not included")
	cmd.Flags().StringVar(&flags.step, "step", "", "print rates averaged over this time (5m, 1h, 1d) instead of raw values")
	cmd.Flags().StringVar(&flags.format, "format", formatCSV, "csv, jsonl (one object a line, also: json) or openmetrics")
	cmd.Flags().BoolVar(&flags.all, "all", false, "all hosts, also archived ones")
	cmd.Flags().BoolVar(&flags.progress, "progress", false, "say how far it is, also where standard error is no terminal")
	return cmd
}

func (p *program) export(ctx context.Context, r *reader, want selection, shown *exportProgress) error {
	parts, err := r.partsOf(ctx, want)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(p.stdout, 1<<16)
	e := exporter{r: r, want: want, shown: shown}
	if e.sink, err = newRowSink(out, want.format); err != nil {
		return err
	}
	shown.total = len(parts)
	if err = e.sink.begin(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, part := range parts {
		if err := e.graph(ctx, part); err != nil {
			return err
		}
		shown.done++
	}
	if err := errors.Join(e.sink.end(), out.Flush()); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// exportPart is one graph of a host; an export of many keeps no more in memory of each.
type exportPart struct {
	host  *munin.Host
	graph string
}

// partsOf lists the graphs to export by host and name. OpenMetrics has all series of one metric together.
func (r *reader) partsOf(ctx context.Context, want selection) ([]exportPart, error) {
	var parts []exportPart
	var err error
	if want.host == "" {
		parts, err = r.allParts(ctx)
	} else {
		parts, err = r.hostParts(ctx, want)
	}
	if want.format == formatOpenMetrics {
		slices.SortStableFunc(parts, func(a, b exportPart) int {
			return cmp.Compare(series.MetricName(a.graph), series.MetricName(b.graph))
		})
	}
	return parts, err
}

func (r *reader) allParts(ctx context.Context) ([]exportPart, error) {
	hosts, err := r.catalog.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	var parts []exportPart
	for i := range hosts {
		graphs, err := r.catalog.Graphs(ctx, hosts[i].ID)
		if err != nil {
			return nil, err
		}
		for k := range graphs {
			parts = append(parts, exportPart{&hosts[i], strings.Clone(graphs[k].Name)})
		}
	}
	return parts, nil
}

// hostParts is one graph of a host, or all of them when no graph is named.
func (r *reader) hostParts(ctx context.Context, want selection) ([]exportPart, error) {
	host, err := r.host(ctx, want.host)
	if err != nil {
		return nil, err
	}
	if want.graph != "" {
		_, err := r.catalog.Graph(ctx, host.ID, want.graph)
		if errors.Is(err, munin.ErrNotFound) {
			return nil, r.unknownGraph(ctx, host.ID, want)
		}
		return []exportPart{{&host, want.graph}}, err
	}
	graphs, err := r.catalog.Graphs(ctx, host.ID)
	var parts []exportPart
	for i := range graphs {
		parts = append(parts, exportPart{&host, graphs[i].Name})
	}
	return parts, err
}

// unknownGraph is the error for a graph that a host does not have, with those that may have been meant.
func (r *reader) unknownGraph(ctx context.Context, host munin.HostID, want selection) error {
	graphs, err := r.catalog.Graphs(ctx, host)
	if err != nil {
		return err
	}
	names := make([]string, len(graphs))
	for i := range graphs {
		names[i] = graphs[i].Name
	}
	return fmt.Errorf("graph %q of %s: %w; %scorbie graphs %s lists those that are known",
		want.graph, want.host, munin.ErrNotFound, didYouMean(want.graph, names), quoted(want.host))
}

// exporter writes series one after the other.
type exporter struct {
	r     *reader
	want  selection
	sink  rowSink
	shown *exportProgress
}

func (e *exporter) graph(ctx context.Context, part exportPart) error {
	g, err := e.r.catalog.Graph(ctx, part.host.ID, part.graph)
	if errors.Is(err, munin.ErrNotFound) {
		return nil // It was removed since it was listed.
	}
	if err != nil {
		return err
	}
	for i := range g.Fields {
		id := munin.SeriesID{Host: part.host.ID, Graph: g.Name, Field: g.Fields[i].Name}
		if err := e.sink.series(id, e.want.step > 0); err != nil {
			return fmt.Errorf("export %s: %w", id, err)
		}
		source := g.Source(part.host.ID, &g.Fields[i], part.host.Interval)
		first := e.want.span.To
		for _, piece := range pieces(e.want.span, e.want.step, g.Step(part.host.Interval)) {
			points, err := e.r.points(ctx, source, piece, e.want.step)
			if err != nil {
				return fmt.Errorf("export %s: %w", id, err)
			}
			for _, pt := range points {
				if err := e.sink.row(pt); err != nil {
					return fmt.Errorf("export %s: %w", id, err)
				}
			}
			e.shown.add(len(points))
			if len(points) > 0 && points[0].Time().Before(first) {
				first = points[0].Time()
			}
		}
		if err := e.lookBefore(ctx, source, first); err != nil {
			return fmt.Errorf("export %s: %w", id, err)
		}
	}
	return nil
}

// lookBefore finds out whether there is history of a field before its first value as the plugin said it: hours, days, or what was imported.
func (e *exporter) lookBefore(ctx context.Context, source munin.Source, first time.Time) error {
	before := munin.Range{From: e.want.span.From, To: first.Truncate(time.Hour)}
	if e.want.step > 0 || e.r.samples.embedded == nil || !before.From.Before(before.To) {
		return nil
	}
	found, err := e.r.samples.Query(ctx, []munin.Source{source}, before, time.Hour)
	if err != nil {
		return err
	}
	for i, b := range found[0].Buckets {
		// An hour that begins before the range may have values in it as the plugin said them.
		if start := found[0].Start.Add(time.Duration(i) * time.Hour); b.Count > 0 && !start.Before(before.From) {
			e.shown.left.add(start, first)
			break
		}
	}
	return nil
}

// leftOut is history that an export of values as plugins said them cannot hold.
type leftOut struct {
	fields   int
	from, to time.Time
}

func (l *leftOut) add(from, to time.Time) {
	if l.fields == 0 || from.Before(l.from) {
		l.from = from
	}
	if l.fields == 0 || to.After(l.to) {
		l.to = to
	}
	l.fields++
}

// String is empty where nothing was left out.
func (l *leftOut) String() string {
	if l.fields == 0 {
		return ""
	}
	return fmt.Sprintf("not in it: older history of %s, from %s up to %s, of which only averages are left or were imported; --step 1h prints it",
		plural(l.fields, "field", "fields"), l.from.Format(time.DateOnly), l.to.Format(time.DateOnly))
}

// exportSpan is what is printed of a series at once, and what has to be read for it: of names that belong together values around it decide
// which count.
type exportSpan struct{ print, read munin.Range }

// pieces cuts a range so that each piece has a bounded number of values or steps. No step is cut.
func pieces(span munin.Range, step, interval time.Duration) []exportSpan {
	const (
		around = 25 * time.Hour
		most   = 100 * 365 * 24 * time.Hour
	)
	every := max(interval, time.Second)
	if step > 0 {
		every = step
	}
	size := max(every, min(every, most/exportPiece)*exportPiece)
	var out []exportSpan
	for from := span.From; from.Before(span.To); {
		to := from.Add(size)
		if step > 0 {
			to = time.UnixMilli(rollup.Floor(to.UnixMilli(), step.Milliseconds()))
		}
		piece := munin.Range{From: from, To: to}
		if !to.Before(span.To) {
			piece.To = span.To
		}
		read := piece
		if step == 0 {
			read = munin.Range{From: piece.From.Add(-around), To: piece.To.Add(around)}
			if read.From.Before(span.From) {
				read.From = span.From
			}
			if read.To.After(span.To) {
				read.To = span.To
			}
		}
		out = append(out, exportSpan{piece, read})
		from = piece.To
	}
	return out
}

func (r *reader) points(ctx context.Context, source munin.Source, span exportSpan, step time.Duration) ([]munin.Point, error) {
	if step == 0 {
		points, err := r.samples.Raw(ctx, source.ID, span.read)
		begin, _ := slices.BinarySearchFunc(points, span.print.From, byTime)
		end, _ := slices.BinarySearchFunc(points, span.print.To, byTime)
		return points[begin:end], err
	}
	found, err := r.samples.Query(ctx, []munin.Source{source}, span.print, step)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	s := &found[0]
	points := make([]munin.Point, 0, len(s.Buckets))
	for i, b := range s.Buckets {
		points = append(points, munin.Point{T: s.Start.Add(time.Duration(i) * s.Step).UnixMilli(), V: b.Avg})
	}
	return points, nil
}

func byTime(p munin.Point, t time.Time) int { return p.Time().Compare(t) }
