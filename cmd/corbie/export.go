package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
)

type exportFlags struct {
	from, to, step, format string
}

// selection is what of a host is exported, and how.
type selection struct {
	graph  string // empty: all
	span   munin.Range
	step   time.Duration // 0: raw values
	format string
}

func (f exportFlags) selection(now time.Time) (selection, error) {
	s := selection{format: f.format}
	var err error
	if s.span, err = munin.ParseRange(f.from, f.to, now); err != nil {
		return s, usageError{err}
	}
	if f.step != "" {
		if s.step, err = munin.ParseDuration(f.step); err != nil || s.step <= 0 {
			return s, usageError{fmt.Errorf("--step %q: want a length of time such as 5m", f.step)}
		}
	}
	if f.format != formatCSV && f.format != formatJSON {
		return s, usageError{fmt.Errorf("--format %q: want csv or json", f.format)}
	}
	return s, nil
}

func (p *program) exportCommand() *cobra.Command {
	var flags exportFlags
	cmd := &cobra.Command{
		Use:   "export HOST [GRAPH]",
		Short: "Print the stored values of a host or of one of its graphs",
		Long: `export prints every stored value of a host, or of one of its graphs, as the
plugin said it: a counter is a counter. With --step it prints what graphs show
instead: rates, averaged over steps of the given length.

It reads the data folder beside a running master.`,
		Example: `  corbie export site /srv/www/monitoring
  corbie export www1 df --from now-7d
  corbie export www1 if_eth0 --from 2026-01-01 --to 2026-02-01 --step 1h --format json`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := flags.selection(time.Now())
			if err != nil {
				return err
			}
			if len(args) > 1 {
				want.graph = args[1]
			}
			r, err := p.openReader()
			if err != nil {
				return err
			}
			return errors.Join(p.export(cmd.Context(), r, args[0], want), r.close())
		},
	}
	cmd.AddCommand(p.exportSiteCommand())
	cmd.Flags().StringVar(&flags.from, "from", "now-24h", "begin: now-7d, 2006-01-02, 2006-01-02T15:04 or seconds since 1970")
	cmd.Flags().StringVar(&flags.to, "to", "now", "end, not included")
	cmd.Flags().StringVar(&flags.step, "step", "", "print rates averaged over this time (5m, 1h, 1d) instead of raw values")
	cmd.Flags().StringVar(&flags.format, "format", formatCSV, "csv or json (one object a line)")
	return cmd
}

func (p *program) export(ctx context.Context, r *reader, name string, want selection) error {
	host, graphs, err := r.graphsOf(ctx, name, want.graph)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(p.stdout)
	var sink rowSink = jsonSink{json.NewEncoder(out)}
	if want.format == formatCSV {
		if sink, err = newCSVSink(out); err != nil {
			return err
		}
	}
	for i := range graphs {
		if err := r.exportGraph(ctx, host, &graphs[i], want, sink); err != nil {
			return err
		}
	}
	return errors.Join(sink.flush(), out.Flush())
}

// graphsOf is one graph of a host, or all of them when graph is empty.
func (r *reader) graphsOf(ctx context.Context, name, graph string) (munin.Host, []munin.Graph, error) {
	host, err := r.host(ctx, name)
	if err != nil {
		return host, nil, err
	}
	if graph == "" {
		graphs, err := r.catalog.Graphs(ctx, host.ID)
		return host, graphs, err
	}
	g, err := r.catalog.Graph(ctx, host.ID, graph)
	if errors.Is(err, munin.ErrNotFound) {
		return host, nil, fmt.Errorf("graph %q of %s: %w; 'corbie graphs %s' lists those that are known", graph, name, munin.ErrNotFound, name)
	}
	return host, []munin.Graph{g}, err
}

func (r *reader) exportGraph(ctx context.Context, host munin.Host, g *munin.Graph, want selection, sink rowSink) error {
	for i := range g.Fields {
		source := g.Source(host.ID, &g.Fields[i], host.Interval)
		points, err := r.points(ctx, source, want.span, want.step)
		if err != nil {
			return fmt.Errorf("export %s: %w", source.ID, err)
		}
		for _, pt := range points {
			if err := sink.row(exportRow{pt.Time(), host.ID, g.Name, g.Fields[i].Name, number(pt.V)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) points(ctx context.Context, source munin.Source, span munin.Range, step time.Duration) ([]munin.Point, error) {
	if step == 0 {
		return r.samples.Raw(ctx, source.ID, span)
	}
	series, err := r.samples.Query(ctx, []munin.Source{source}, span, step)
	if err != nil || len(series) == 0 {
		return nil, err
	}
	s := series[0]
	points := make([]munin.Point, 0, len(s.Buckets))
	for i, b := range s.Buckets {
		points = append(points, munin.Point{T: s.Start.Add(time.Duration(i) * s.Step).UnixMilli(), V: b.Avg})
	}
	return points, nil
}

// exportRow is one value of an export.
type exportRow struct {
	Time  time.Time    `json:"time"`
	Host  munin.HostID `json:"host"`
	Graph string       `json:"graph"`
	Field string       `json:"field"`
	Value number       `json:"value"`
}

// rowSink is a consumer contract: it models one export format.
type rowSink interface {
	row(r exportRow) error
	flush() error
}

type csvSink struct{ w *csv.Writer }

func newCSVSink(w io.Writer) (csvSink, error) {
	s := csvSink{csv.NewWriter(w)}
	return s, s.w.Write([]string{"time", "host", "graph", "field", "value"})
}

func (s csvSink) row(r exportRow) error {
	value := ""
	if v := float64(r.Value); !math.IsNaN(v) {
		value = formatRaw(v)
	}
	return s.w.Write([]string{r.Time.Format("2006-01-02T15:04:05.000Z07:00"), string(r.Host), r.Graph, r.Field, value})
}

func (s csvSink) flush() error {
	s.w.Flush()
	return s.w.Error()
}

type jsonSink struct{ enc *json.Encoder }

func (s jsonSink) row(r exportRow) error { return s.enc.Encode(r) }

func (s jsonSink) flush() error { return nil }
