package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/catalog"
)

type renameRow struct {
	From  string     `json:"from"`
	To    string     `json:"to"`
	At    time.Time  `json:"at"`
	Until *time.Time `json:"until"`
}

func (p *program) renameCommand() *cobra.Command {
	var undo, list bool
	var format string
	cmd := &cobra.Command{
		Use:   "rename OLD NEW",
		Short: "Keep the history of a host, graph or field under a new name, or make two hosts one",
		Long: `rename makes what is known of a host under one name known under another: its
graphs, history, open problems, acknowledgements, notes and silences. No sample
is written anew, and "corbie rename --undo" takes it back at any time.

NEW may be a host that exists: the two become one then. Where both have values
for the same time, those of NEW are shown.

Give a host its full path (group;host) or its name. A NEW without a group stays
in the group of OLD. Change the name in the configuration before or after, as
you like: until then the host is polled under its new name, and the log says so.
It may name both only when another machine has the old name: history up to
then stays with the renamed one.

A graph is HOST/GRAPH and a field HOST/GRAPH.FIELD, for a plugin that calls
them differently now; NEW must be a name that the node uses already.

An open problem goes on. Mails say nothing of it: its end comes under the new
name, in the same thread. Webhooks and commands are told that it is over under
the old name and that it begins under the new one, so that they can close what
they opened.`,
		Example: `  corbie rename web1 www1
  corbie rename 'office;web1' 'berlin;web1'
  corbie rename web1/if_eth0 web1/if_enp1s0
  corbie rename db1/df._dev_sda1 db1/df._dev_vda1
  corbie rename --undo www1
  corbie rename --list`,
		Args: func(cmd *cobra.Command, args []string) error {
			want := 2
			switch {
			case undo && list:
				return usageError{errors.New("corbie rename: --undo and --list do not go together")}
			case undo:
				want = 1
			case list:
				want = 0
			}
			return usageArgs(cobra.ExactArgs(want))(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case list:
				return p.listRenames(cmd.Context(), format)
			case undo:
				return p.undoRename(cmd.Context(), args[0])
			}
			return p.rename(cmd.Context(), args[0], args[1])
		},
	}
	cmd.Flags().BoolVar(&undo, "undo", false, "take back the rename that had this old or new name")
	cmd.Flags().BoolVar(&list, "list", false, "list the renames that hold")
	cmd.Flags().StringVar(&format, "format", formatText, "with --list: text or json")
	return cmd
}

// editor changes the catalogue by hand.
type editor struct {
	*catalog.Catalog

	program *program
}

func (p *program) openEditor(ctx context.Context) (*editor, error) {
	dir, err := p.findData()
	if err != nil {
		return nil, err
	}
	p.dataDir = dir
	file := filepath.Join(dir, catalogFile)
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("%s: no data of a master there; name its folder with --data: %w", dir, err)
	}
	c, err := catalog.OpenToEdit(ctx, file)
	if err != nil {
		return nil, err
	}
	return &editor{Catalog: c, program: p}, nil
}

func (p *program) rename(ctx context.Context, old, with string) error {
	e, err := p.openEditor(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	from, err := e.known(ctx, old)
	if err != nil {
		return err
	}
	to, err := e.wanted(ctx, from, with)
	if err != nil {
		return err
	}
	if isSelf(from.Host) && from.Graph == "" || isSelf(to.Host) && to.Graph == "" {
		return fmt.Errorf("%s is the master itself: it has no other name", from.Host)
	}
	if from.Field != "" {
		if err := e.hasValues(ctx, from); err != nil {
			return err
		}
	}
	if err := e.Rename(ctx, from, to, time.Now()); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s is %s now, with its history and open problems. To undo: corbie rename --undo %s\n", spoken(from), spoken(to), quoted(spoken(from)))
	return e.takenOver(ctx)
}

// known finds what is called OLD.
func (e *editor) known(ctx context.Context, name string) (munin.SeriesID, error) {
	hostName, rest, inside := strings.Cut(name, "/")
	host, err := e.Host(ctx, hostName)
	if errors.Is(err, munin.ErrNotFound) {
		return munin.SeriesID{}, unknownHost(ctx, e.Catalog, hostName)
	}
	id := munin.SeriesID{Host: host.ID}
	if err != nil || !inside {
		return id, err
	}
	graphs, err := e.Graphs(ctx, host.ID)
	if err != nil {
		return id, err
	}
	graph, field, err := findGraph(graphs, rest)
	if err != nil {
		return id, fmt.Errorf("%s: %wcorbie graphs %s lists them", host.ID, err, quoted(string(host.ID)))
	}
	id.Graph, id.Field = graph.Name, field
	return id, nil
}

// findGraph reads GRAPH, which may have dots in it, or GRAPH.FIELD.
func findGraph(graphs []munin.Graph, name string) (graph *munin.Graph, field string, err error) {
	find := func(name string) *munin.Graph {
		i := slices.IndexFunc(graphs, func(g munin.Graph) bool { return g.Name == name })
		if i < 0 {
			return nil
		}
		return &graphs[i]
	}
	if graph = find(name); graph != nil {
		return graph, "", nil
	}
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && dot < len(name)-1 {
		if graph = find(name[:dot]); graph != nil {
			return graph, name[dot+1:], nil
		}
	}
	names := make([]string, len(graphs))
	for i := range graphs {
		names[i] = graphs[i].Name
	}
	return nil, "", fmt.Errorf("it has no graph %q; %s", name, didYouMean(name, names))
}

// wanted reads NEW: a host that may be new, or a graph or field of the same host that the node has already.
func (e *editor) wanted(ctx context.Context, from munin.SeriesID, name string) (munin.SeriesID, error) {
	if from.Graph == "" {
		return e.wantedHost(ctx, from.Host, name)
	}
	if !strings.Contains(name, "/") {
		name = string(from.Host) + "/" + name
	}
	to, err := e.known(ctx, name)
	switch {
	case err != nil:
		return to, fmt.Errorf("%w; rename to what the node calls it, once it does", err)
	case (from.Field == "") != (to.Field == ""):
		return to, fmt.Errorf("%s and %s: one is a graph, the other a field", spoken(from), spoken(to))
	case to.Field == "":
		return to, nil
	}
	g, err := e.Graph(ctx, to.Host, to.Graph)
	if err != nil {
		return to, err
	}
	if _, ok := g.Field(to.Field); !ok {
		return to, fmt.Errorf("%s: the graph has no such field; 'corbie graphs %s' lists those that it has", spoken(to), quoted(string(to.Host)))
	}
	return to, nil
}

func (e *editor) wantedHost(ctx context.Context, from munin.HostID, name string) (munin.SeriesID, error) {
	if strings.Contains(name, "/") {
		return munin.SeriesID{}, fmt.Errorf("%s is a host, %s is not: want the name of a host, or group;host", from, name)
	}
	id := munin.HostID(name)
	if !strings.Contains(name, ";") {
		id = munin.NewHostID(from.Group(), name)
		switch h, err := e.Host(ctx, name); {
		case err == nil && h.ID.Name() == name && h.ID != from:
			id = h.ID
		case errors.Is(err, munin.ErrAmbiguous):
			return munin.SeriesID{}, err
		case err != nil || h.ID == from:
			id = e.program.configuredHost(name, id)
		}
	}
	if err := config.CheckHost(id); err != nil {
		return munin.SeriesID{}, err
	}
	return munin.SeriesID{Host: id}, nil
}

// configuredHost is the one host that the configuration has by a name without group, else the other one: a host that was never polled is
// known from there alone.
func (p *program) configuredHost(name string, otherwise munin.HostID) munin.HostID {
	conf, err := p.loadConfig(config.Flags{Tolerant: true})
	if err != nil {
		return otherwise // The names of the catalogue do without a configuration.
	}
	found := munin.HostID("")
	for _, h := range conf.MuninHosts() {
		switch {
		case h.ID == otherwise:
			return otherwise
		case h.ID.Name() == name && found != "":
			return otherwise
		case h.ID.Name() == name:
			found = h.ID
		}
	}
	if found == "" {
		return otherwise
	}
	return found
}

// hasValues makes sure that a field that no graph has any more was one: its name may be mistyped.
func (e *editor) hasValues(ctx context.Context, id munin.SeriesID) error {
	stored, err := e.program.openReader()
	if err != nil {
		return err
	}
	defer stored.close()
	const days = 10 * 365
	now := time.Now()
	r := munin.Range{From: now.AddDate(0, 0, -days), To: now.Add(time.Hour)}
	read, err := stored.samples.Query(ctx, []munin.Source{{ID: id}}, r, 24*time.Hour)
	if err != nil {
		return err
	}
	if math.IsNaN(read[0].Last.V) {
		return fmt.Errorf("no value is stored under %s: is its name right?", spoken(id))
	}
	return nil
}

// takenOver waits until the running master has taken over what was changed, if there is one.
func (e *editor) takenOver(ctx context.Context) error {
	const patience = 15 * time.Second
	if !storage.InUse(e.program.dataDir) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := e.Edits(ctx)
		if err == nil && len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			fmt.Fprintln(e.program.stderr, "It is stored, but the running master has not taken it over yet; its log says why.")
			return nil
		case <-tick.C:
		}
	}
}

func (p *program) undoRename(ctx context.Context, name string) error {
	e, err := p.openEditor(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	id, err := e.renamed(ctx, name)
	if err != nil {
		return err
	}
	r, err := e.UndoRename(ctx, id, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s is apart from %s again. Values that were stored as %s stay there.\n", spoken(r.From), spoken(r.To), spoken(r.To))
	return e.takenOver(ctx)
}

// renamed finds which of the names of the renames that hold is meant.
func (e *editor) renamed(ctx context.Context, name string) (munin.SeriesID, error) {
	all, err := e.ListRenames(ctx)
	if err != nil {
		return munin.SeriesID{}, err
	}
	var found []munin.SeriesID
	for _, r := range all {
		for _, id := range []munin.SeriesID{r.From, r.To} {
			short := id
			short.Host = munin.HostID(id.Host.Name())
			if spoken(id) == name {
				return id, nil
			}
			if spoken(short) == name && !slices.Contains(found, id) {
				found = append(found, id)
			}
		}
	}
	switch len(found) {
	case 0:
		return munin.SeriesID{}, fmt.Errorf("nothing was renamed from or to %q; 'corbie rename --list' shows what was", name)
	case 1:
		return found[0], nil
	}
	return munin.SeriesID{}, fmt.Errorf("%q is %w: say one of %s and %s", name, munin.ErrAmbiguous, quoted(spoken(found[0])), quoted(spoken(found[1])))
}

func (p *program) listRenames(ctx context.Context, format string) error {
	r, err := p.openCatalog()
	if err != nil {
		return err
	}
	defer r.close()
	all, err := r.catalog.ListRenames(ctx)
	if err != nil {
		return err
	}
	t := table{head: []string{"OLD", "NEW", "RENAMED", "OLD NAME GIVEN TO ANOTHER HOST"}}
	rows := make([]renameRow, len(all))
	for i, one := range all {
		rows[i] = renameRow{From: spoken(one.From), To: spoken(one.To), At: one.At, Until: stamp(one.Until)}
		until := "no"
		if !one.Until.IsZero() {
			until = one.Until.Local().Format(time.DateTime)
		}
		t.add(rows[i].From, rows[i].To, one.At.Local().Format(time.DateTime), until)
	}
	if len(rows) == 0 && format == formatText {
		fmt.Fprintln(p.stdout, "nothing was renamed")
		return nil
	}
	return t.write(p.stdout, format, rows)
}

// spoken is a name as it stands on the command line: HOST, HOST/GRAPH or HOST/GRAPH.FIELD.
func spoken(id munin.SeriesID) string {
	name := string(id.Host)
	if id.Graph != "" {
		name += "/" + id.Graph
	}
	if id.Field != "" {
		name += "." + id.Field
	}
	return name
}

// quoted is a word as a shell wants it.
func quoted(word string) string {
	if strings.ContainsAny(word, "; '\"$&|<>*?()\\`") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}
