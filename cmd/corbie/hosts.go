package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"corbie/munin"
)

type hostRow struct {
	Host       munin.HostID `json:"host"`
	Address    string       `json:"address"`
	State      string       `json:"state"`
	LastAnswer *time.Time   `json:"last_answer"`
	TookMS     int64        `json:"took_ms"`
	LagMS      int64        `json:"lag_ms"`
	Values     int          `json:"values"`
	Bytes      int64        `json:"bytes"`
	Slowest    string       `json:"slowest_plugin,omitempty"`
	SlowestMS  int64        `json:"slowest_plugin_ms"`
	Failing    []string     `json:"failing_plugins,omitempty"`
	Error      string       `json:"error,omitempty"`
}

func (p *program) hostsCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "hosts",
		Short: "List the hosts that the master knows, with the age of their last answer, and what made it slow",
		Long: `hosts lists every host with the age of its last answer and what its last poll
took. SLOW says what took long, where that is worth knowing: a plugin, or that
the poll had to wait for others before it could begin. FAILING names the plugins
of whose last answer something could not be used: "corbie graphs HOST" says why.

STATE is ok; new, not polled yet; failing, the last poll went wrong; silent, and
for longer than silent_after; late, polls take longer than the time between two,
so that some are left out; virtual, it shows what others have; or archived, not
configured any more.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := p.openCatalog()
			if err != nil {
				return err
			}
			defer r.close()
			hosts, err := r.catalog.Hosts(cmd.Context())
			if err != nil {
				return err
			}
			failing, err := r.catalog.Failing(cmd.Context())
			if err != nil {
				return err
			}
			return p.printHosts(hosts, failing, format, time.Now())
		},
	}
	cmd.Flags().StringVar(&format, "format", formatText, "text or json")
	return cmd
}

func (p *program) printHosts(hosts []munin.Host, failing map[munin.HostID][]string, format string, now time.Time) error {
	t := table{head: []string{"HOST", "ADDRESS", "STATE", "LAST ANSWER", "TOOK", "VALUES", "SLOW", "FAILING", "LAST ERROR"}}
	rows := make([]hostRow, 0, len(hosts))
	for _, h := range hosts {
		row := hostRow{
			Host: h.ID, Address: h.Address, State: hostState(h, now), LastAnswer: stamp(h.LastAnswer),
			TookMS: h.LastTook.Milliseconds(), LagMS: h.LastLag.Milliseconds(), Values: h.LastValues, Bytes: h.LastBytes,
			Slowest: h.Slowest, SlowestMS: h.SlowestTook.Milliseconds(), Failing: failing[h.ID], Error: h.LastError,
		}
		rows = append(rows, row)
		t.add(string(h.ID), h.Address, row.State, ago(h.LastAnswer, now), h.LastTook.Round(time.Millisecond).String(),
			strconv.Itoa(h.LastValues), slowness(h), shorten(strings.Join(failing[h.ID], " "), 40), h.LastError)
	}
	return t.write(p.stdout, format, rows)
}

// slowness says what made the last poll of a host slow, if it was.
func slowness(h munin.Host) string {
	const worthKnowing = time.Second
	var why []string
	if h.SlowestTook >= worthKnowing {
		why = append(why, h.Slowest+" "+h.SlowestTook.Round(100*time.Millisecond).String())
	} else if h.LastTook >= worthKnowing {
		why = append(why, "the network, or the node")
	}
	if h.LastLag >= worthKnowing {
		why = append(why, "waited "+h.LastLag.Round(100*time.Millisecond).String()+" to begin")
	}
	return strings.Join(why, ", ")
}

// hostState is one word for what a host does.
func hostState(h munin.Host, now time.Time) string {
	switch {
	case h.Archived:
		return "archived"
	case h.Address == "":
		return "virtual"
	case h.LastTried.IsZero():
		return "new"
	case h.LastAnswer.IsZero(), h.SilentAt(now):
		return "silent"
	case h.LastError != "":
		return "failing"
	case h.Late():
		return "late"
	}
	return "ok"
}

type graphRow struct {
	Graph    string     `json:"graph"`
	Title    string     `json:"title"`
	Category string     `json:"category"`
	Fields   []string   `json:"fields"`
	LastSeen *time.Time `json:"last_seen"`
}

func (p *program) graphsCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "graphs HOST",
		Short: "List the graphs of a host, and the plugins that failed at its last poll",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := p.openCatalog()
			if err != nil {
				return err
			}
			defer r.close()
			h, err := r.host(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			graphs, err := r.catalog.Graphs(cmd.Context(), h.ID)
			if err != nil {
				return err
			}
			faults, err := r.catalog.Faults(cmd.Context(), h.ID)
			if err != nil {
				return err
			}
			return p.printGraphs(graphs, faults, format, time.Now())
		},
	}
	cmd.Flags().StringVar(&format, "format", formatText, "text or json")
	return cmd
}

func (p *program) printGraphs(graphs []munin.Graph, faults []munin.Fault, format string, now time.Time) error {
	t := table{head: []string{"GRAPH", "TITLE", "CATEGORY", "FIELDS", "LAST SEEN"}}
	rows := make([]graphRow, 0, len(graphs))
	for _, g := range graphs {
		names := make([]string, len(g.Fields))
		for i := range g.Fields {
			names[i] = g.Fields[i].Name
		}
		rows = append(rows, graphRow{g.Name, g.Title, g.Category, names, stamp(g.LastSeen)})
		t.add(g.Name, g.Title, g.Category, strconv.Itoa(len(names))+": "+shorten(strings.Join(names, " "), 40), ago(g.LastSeen, now))
	}
	reasons := make([]string, len(faults))
	for i, f := range faults {
		reasons[i] = f.String()
	}
	if err := t.write(p.stdout, format, map[string]any{"graphs": rows, "faults": reasons}); err != nil || format != formatText {
		return err
	}
	if len(reasons) > 0 {
		_, err := p.stdout.Write([]byte("\nAt the last poll:\n  " + strings.Join(reasons, "\n  ") + "\n"))
		return err
	}
	return nil
}

func shorten(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}
