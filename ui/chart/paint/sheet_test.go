package paint_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/ui/chart"
)

// sheetSteps is for how many steps of five minutes the fields have values: more than the day that is drawn.
const sheetSteps = 480

// sheetGraph is one graph as its plugin describes it.
type sheetGraph struct {
	plugin string
	words  [][2]string // attributes and their values
	graph  munin.Graph
	raw    map[string][]munin.Point
	from   time.Time // of the first sample
	args   []string  // of rrdtool graph, as Munin calls it
	munin  string    // its picture
	ours   string
	notes  []string
}

// sayConfig asks a plugin of Debian's for its config, as munin-node would.
func sayConfig(plugin, mode, state string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, plugin, mode)
	cmd.WaitDelay = 100 * time.Millisecond
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "MUNIN_LIBDIR=/usr/share/munin", "MUNIN_PLUGSTATE="+state, "MUNIN_STATEFILE="+filepath.Join(state, filepath.Base(plugin)),
		"MUNIN_CAP_MULTIGRAPH=1", "LC_ALL=C", "MUNIN_DEBUG=0", "FQDN=h", "HOME=/nonexistent")
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// debianPlugins are the configs of every plugin of Debian's that runs on this machine, by name.
func debianPlugins(t *testing.T) map[string]string {
	t.Helper()
	const folder = "/usr/share/munin/plugins"
	entries, err := os.ReadDir(folder)
	if err != nil {
		testenv.Program(t, "munin-run")
		t.Fatal(err)
	}
	links, state := t.TempDir(), t.TempDir()
	configs := make(map[string]string)
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 4)
	wanted := func(string) bool { return true }
	if os.Getenv("CORBIE_SHEET") != "all" { // the whole takes most of a minute
		wanted = func(name string) bool {
			found, err := filepath.Glob("/etc/munin/plugins/" + name + "*")
			return err == nil && len(found) > 0
		}
	}
	for _, entry := range entries {
		if !wanted(entry.Name()) {
			continue
		}
		name, path := entry.Name(), filepath.Join(folder, entry.Name())
		if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			names := []string{name}
			if strings.HasSuffix(name, "_") {
				names = nil
				for i, word := range strings.Fields(sayConfig(path, "suggest", state)) {
					if i < 2 {
						names = append(names, name+word)
					}
				}
			}
			for _, one := range names {
				link := filepath.Join(links, one)
				if os.Symlink(path, link) != nil {
					continue
				}
				text := sayConfig(link, "config", state)
				mu.Lock()
				configs[one] = text
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return configs
}

// graphsOf takes a plugin's config apart, the graphs and the words of each.
func graphsOf(plugin, config string) []*sheetGraph {
	var out []*sheetGraph
	reply := munin.ParseConfig(plugin, []byte(config))
	words := make(map[string][][2]string)
	at := munin.SanitisePlugin(plugin)
	for line := range strings.Lines(config) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		value = strings.TrimSpace(value)
		switch {
		case key == "multigraph":
			at = value
		case key != "" && key[0] != '#' && value != "":
			words[at] = append(words[at], [2]string{key, value})
		}
	}
	for _, g := range reply.Graphs {
		if g.Title == "" || len(g.Fields) == 0 || g.Hidden || len(words[g.Name]) == 0 {
			continue
		}
		out = append(out, &sheetGraph{plugin: plugin, graph: g, words: words[g.Name]})
	}
	return out
}

// fill gives every field values that its bounds allow.
func (s *sheetGraph) fill(end int64) {
	s.raw = make(map[string][]munin.Point)
	first := end - (sheetSteps-1)*300
	s.from = time.Unix(first, 0).UTC()
	for i := range s.graph.Fields {
		f := &s.graph.Fields[i]
		h := fnv.New32a()
		_, _ = h.Write([]byte(s.graph.Name + f.Name))
		seed := float64(h.Sum32() % 1000)
		low, high := 0.0, math.Pow(10, 1+float64(int(seed)%5))
		if f.Bounds.HasLow {
			low = f.Bounds.Low
			high = math.Max(high, low+1)
		}
		if f.Bounds.HasHigh {
			high = math.Min(f.Bounds.High, math.Max(low, 0)+1e9)
		} else if strings.Contains(s.graph.VLabel, "%") || strings.Contains(s.graph.Args, "100") {
			high = 100 / float64(len(s.graph.Fields))
		}
		count := 0.0
		for n := range sheetSteps {
			part := 0.45 + 0.3*math.Sin(float64(n)/40+seed) + 0.1*math.Sin(float64(n*n%101)+seed)
			v := low + (high-low)*part
			at := first + int64(n)*300
			if f.Type.IsRate() {
				v = math.Max(math.Round(v), 0)
			}
			switch f.Type {
			case munin.Absolute:
				v *= 300
			case munin.Counter, munin.Derive, munin.DCounter, munin.DDerive:
				count += v * 300
				v = count
			case munin.Gauge:
			}
			if strings.HasPrefix(f.Name, "gap") && n%97 > 80 {
				v = math.NaN()
			}
			s.raw[f.Name] = append(s.raw[f.Name], munin.Point{T: at * 1000, V: v})
		}
	}
}

// keepFor writes the RRDs and the lines of the datafile with which Munin draws the graph.
func (s *sheetGraph) keepFor(dbdir string, commands, datafile *strings.Builder) {
	prefix := "sheet;h:" + s.graph.Name + "."
	var order []string
	seen := map[string]bool{}
	for _, word := range s.words {
		field, attr, ok := strings.Cut(word[0], ".")
		if word[0] == "graph_order" {
			for _, item := range strings.Fields(word[1]) {
				order = append(order, item)
				name, _, _ := strings.Cut(strings.TrimPrefix(item, "-"), "=")
				seen[name] = true
			}
			continue
		}
		if ok {
			field = munin.SanitiseField(field)
			fmt.Fprintf(datafile, "%s%s.%s %s\n", prefix, field, attr, word[1])
		} else {
			fmt.Fprintf(datafile, "%s%s %s\n", prefix, word[0], word[1])
		}
	}
	for _, word := range s.words {
		if field, ok := strings.CutSuffix(word[0], ".label"); ok && !seen[munin.SanitiseField(field)] {
			order = append(order, munin.SanitiseField(field))
		}
	}
	fmt.Fprintf(datafile, "%sgraph_order %s\n", prefix, strings.Join(order, " "))
	for i := range s.graph.Fields {
		f := &s.graph.Fields[i]
		kind := f.Type.String()
		path := filepath.Join(dbdir, "sheet", "h-"+strings.ReplaceAll(s.graph.Name, ".", "-")+"-"+f.Name+"-"+strings.ToLower(kind[:1])+".rrd")
		bound := func(has bool, v float64) string {
			if !has {
				return "U"
			}
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		fmt.Fprintf(commands, "create %s --start %d --step 300 DS:42:%s:600:%s:%s", path, s.from.Unix()-300, kind,
			bound(f.Bounds.HasLow, f.Bounds.Low), bound(f.Bounds.HasHigh, f.Bounds.High))
		for _, function := range []string{"AVERAGE", "MIN", "MAX"} {
			fmt.Fprintf(commands, " RRA:%s:0.5:1:576 RRA:%s:0.5:6:432", function, function)
		}
		fmt.Fprintf(commands, "\nupdate %s", path)
		for _, p := range s.raw[f.Name] {
			value := "U"
			if !math.IsNaN(p.V) {
				value = strconv.FormatFloat(p.V, 'f', -1, 64)
			}
			fmt.Fprintf(commands, " %d:%s", p.T/1000, value)
		}
		commands.WriteByte('\n')
	}
}

// drawByMunin lets munin-graph draw all graphs, and reads the commands of rrdtool that it made out of its log.
func drawByMunin(t *testing.T, graphs []*sheetGraph) {
	t.Helper()
	rrdtool := testenv.Program(t, "rrdtool")
	dir := t.TempDir()
	for _, folder := range []string{"db/sheet", "html", "log", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var commands, datafile strings.Builder
	datafile.WriteString("version 2.0.73\nsheet;h:address 127.0.0.1\nsheet;h:use_node_name yes\n")
	for _, s := range graphs {
		s.keepFor(filepath.Join(dir, "db"), &commands, &datafile)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(stdin string, name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
		cmd.Stdin = strings.NewReader(stdin)
		var talk bytes.Buffer
		cmd.Stderr = &talk
		out, err := cmd.Output()
		if err != nil || bytes.Contains(out, []byte("\nERROR")) {
			t.Fatalf("%s %v: %v\n%.3000s%.3000s", name, args, err, out, talk.String())
		}
		return string(out)
	}
	run(commands.String(), rrdtool, "-")
	conf := write("munin.conf", fmt.Sprintf("dbdir %[1]s/db\nhtmldir %[1]s/html\nlogdir %[1]s/log\nrundir %[1]s/run\n[sheet;h]\n\taddress 127.0.0.1\n", dir))
	const programs = "/usr/share/munin/"
	write("db/datafile.storable", run("", programs+"munin-datafile2storable", write("db/datafile", datafile.String())))
	var wanted strings.Builder
	for _, s := range graphs {
		fmt.Fprintf(&wanted, "/sheet/h/%s-day.png\n", strings.ReplaceAll(s.graph.Name, ".", "/"))
	}
	write("db/graphs", wanted.String())
	run("", programs+"munin-graph", "--config", conf, "--debug", "--force-run-as-root", "--nofork", "--nolazy", "--force", "--skip-locking", "--skip-stats",
		"--day", "--noweek", "--nomonth", "--noyear", "--nosumweek", "--nosumyear")
	log, err := os.ReadFile(filepath.Join(dir, "log/munin-graph.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log, []byte("rrdtool 'graph'")) {
		t.Fatalf("munin-graph drew nothing:\n%.6000s", log)
	}
	for _, call := range strings.Split(string(log), "rrdtool 'graph' '")[1:] {
		call, _, _ = strings.Cut(call, "'\n")
		args := strings.Split(call, "' \\\n\t'")
		for _, s := range graphs {
			if args[0] == filepath.Join(dir, "html/sheet/h", strings.ReplaceAll(s.graph.Name, ".", "/")+"-day.png") {
				s.args, s.munin = args, args[0]
			}
		}
	}
}

// span is the time that Munin drew: the stamps of the first step, which is not drawn, and of the last.
func (s *sheetGraph) span(t *testing.T) (begin, last int64) {
	t.Helper()
	for i, arg := range s.args {
		if arg == "--end" && i+1 < len(s.args) {
			end, err := strconv.ParseInt(s.args[i+1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			last = end
		}
	}
	begin = last - 2000*60
	if slices.ContainsFunc(s.words, func(word [2]string) bool {
		return strings.HasSuffix(word[0], ".sum") || strings.HasSuffix(word[0], ".stack")
	}) {
		begin += 300 // Munin ends these one step earlier
	}
	return begin, last
}

// model draws the same time as Munin did.
func (s *sheetGraph) model(t *testing.T, all map[string]*sheetGraph) *chart.Model {
	t.Helper()
	begin, last := s.span(t)
	// rrdtool stamps a step with its end, and draws the step after the last one, too.
	r := munin.Range{From: time.Unix(begin+300, 0).UTC(), To: time.Unix(last+600, 0).UTC()}
	host := munin.HostID("sheet;h")
	graph, faults := s.graph.Borrow(host, func(_ munin.HostID, name string) (*munin.Graph, time.Duration) {
		if other := all[name]; other != nil {
			return &other.graph, step
		}
		return nil, 0
	})
	if len(faults) > 0 {
		t.Errorf("%s: %v", s.graph.Name, faults)
	}
	var series []munin.Series
	for i := range graph.Fields {
		f := &graph.Fields[i]
		source := graph.Source(host, f, step)
		series = append(series, seriesOf(f.Name, &source, r, all))
	}
	return chart.New(chart.Request{Host: "h", Graph: &graph, Series: series, Range: r, Interval: step, Now: r.To})
}

// seriesOf are the values of a field in the buckets of a range.
func seriesOf(name string, source *munin.Source, r munin.Range, all map[string]*sheetGraph) munin.Series {
	out := munin.Series{ID: munin.SeriesID{Field: name}, Start: r.From, Step: step, Last: munin.Point{V: math.NaN()}}
	parts := source.Sum
	if len(parts) == 0 {
		parts = []munin.Source{*source}
	}
	for range int(r.Duration() / step) {
		out.Buckets = append(out.Buckets, munin.Gap())
	}
	for i := range parts {
		for _, p := range munin.Rates(parts[i], all[parts[i].ID.Graph].raw[parts[i].ID.Field]) {
			n := int(p.Time().Sub(r.From) / step)
			if math.IsNaN(p.V) || p.Time().Before(r.From) || n >= len(out.Buckets) {
				continue
			}
			b := &out.Buckets[n]
			if b.Count == 0 {
				*b = munin.Bucket{Count: 1}
			}
			b.Avg, b.Min, b.Max = b.Avg+p.V, b.Min+p.V, b.Max+p.V
			out.Last = munin.Point{T: p.T, V: b.Avg}
		}
	}
	return out
}

// muninDraws is what rrdtool was told to draw, and what it answered.
type muninDraws struct {
	curves    []string // "AREA|label|colour"
	names     []string // what rrdtool calls the values of each
	mirrored  []string // the same of what lies below zero
	rules     []float64
	low, high float64
	figures   map[string]float64 // "avg g_name"
}

func TestEveryGraphShowsWhatMuninShows(t *testing.T) {
	testenv.Program(t, "munin-run")
	configs := debianPlugins(t)
	ran := len(configs)
	for name, text := range madeUpPlugins() {
		configs["zz_"+name] = text
	}
	end := time.Now().Unix()/300*300 + 1200
	var graphs []*sheetGraph
	known := map[string]*sheetGraph{} // two plugins may have a graph of the same name
	for _, plugin := range slices.Sorted(maps.Keys(configs)) {
		for _, s := range graphsOf(plugin, configs[plugin]) {
			if known[s.graph.Name] == nil {
				graphs = append(graphs, s)
				known[s.graph.Name] = s
			}
		}
	}
	for _, s := range graphs {
		s.fill(end)
	}
	drawByMunin(t, graphs)
	p, dir := painter(t), t.ArtifactDir()
	drawn, figures := 0, 0
	plugins := map[string]bool{}
	for _, s := range graphs {
		if s.args == nil {
			t.Errorf("munin-graph did not draw %s of %s", s.graph.Name, s.plugin)
			continue
		}
		picture, err := os.ReadFile(s.munin)
		if err != nil {
			t.Fatal(err)
		}
		s.munin = filepath.Join(dir, s.graph.Name+"-munin.png")
		if err := os.WriteFile(s.munin, picture, 0o600); err != nil {
			t.Fatal(err)
		}
		draws := s.ask(t)
		m := s.model(t, known)
		differ, n := s.compare(m, &draws)
		for _, text := range differ {
			t.Errorf("%s of %s: %s", s.graph.Name, s.plugin, text)
		}
		body, err := p.PNG(m, chart.Picture{Width: 497, Height: 233, Theme: chart.LightTheme})
		if err != nil {
			t.Fatal(err)
		}
		s.ours, s.notes = filepath.Join(dir, s.graph.Name+"-corbie.png"), append(m.Notes, differ...)
		if err := os.WriteFile(s.ours, body, 0o600); err != nil {
			t.Fatal(err)
		}
		drawn++
		figures += n
		plugins[s.plugin] = true
	}
	sheet(t, dir, graphs)
	t.Logf("%d of Debian's plugins were asked; %d plugins with %d graphs are drawn as Munin draws them, %d figures compared; the sheet is %s",
		ran, len(plugins), drawn, figures, filepath.Join(dir, "sheet.html"))
	if drawn < 40 || figures < 500 {
		t.Errorf("only %d graphs with %d figures were compared", drawn, figures)
	}
}
