package fleet

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxSeries is how many series a fleet can have: values carry their series' number in 24 bits.
const maxSeries = 1 << 24

// plugin is what all nodes say of one plugin.
type plugin struct {
	name   string
	config []byte // the whole answer, with the dot
	fields []field
}

type field struct {
	head    string // "f3_1.value ", after the line that begins its graph where one does
	counter bool
}

// detailAfter says from which field on a multigraph plugin's second graph has them. Every fifth plugin is one.
func detailAfter(number, fields int) int {
	if number%5 == 4 && fields > 1 {
		return fields / 2
	}
	return fields
}

func pluginName(number int) string { return fmt.Sprintf("sim%02d", number) }

func fieldName(number, i int) string { return fmt.Sprintf("f%d_%d", number, i) }

// isCounter says whether a field only ever grows.
func isCounter(i int) bool { return i%3 == 1 }

func newPlugin(number, fields int) plugin {
	p := plugin{name: pluginName(number)}
	var b bytes.Buffer
	detail := detailAfter(number, fields)
	about := func(name, title string) {
		if detail < fields {
			fmt.Fprintf(&b, "multigraph %s\n", name)
		}
		fmt.Fprintf(&b, "graph_title %s %d\ngraph_vlabel things per ${graph_period}\ngraph_category simulated\ngraph_args --base 1000 -l 0\n"+
			"graph_info What plugin %d of a simulated node counts.\n", title, number, number)
	}
	about(p.name, "Simulated things")
	for i := range fields {
		head := ""
		switch {
		case i == 0 && detail < fields:
			head = "multigraph " + p.name + "\n"
		case i == detail:
			head = "multigraph " + p.name + ".detail\n"
			about(p.name+".detail", "Details of simulated things")
		}
		name := fieldName(number, i)
		p.fields = append(p.fields, field{head: head + name + ".value ", counter: isCounter(i)})
		fmt.Fprintf(&b, "%s.label thing %d\n%s.draw LINE2\n%s.min 0\n%s.info The things of kind %d.\n", name, i, name, name, name, i)
		if isCounter(i) {
			fmt.Fprintf(&b, "%s.type DERIVE\n", name)
		}
		if i == 0 || i == 1 && number%5 == 0 {
			fmt.Fprintf(&b, "%s.warning :900000000\n%s.critical :950000000\n", name, name)
		}
	}
	b.WriteString(".\n")
	p.config = b.Bytes()
	return p
}

// tick is the number of the moment whose values are said at a time.
func (f *Fleet) tick(t time.Time) int64 { return t.UnixNano() / int64(f.opts.Tick) }

// appendFetch appends a plugin's answer to fetch.
func (f *Fleet) appendFetch(b []byte, node, number int, tick int64) []byte {
	p := &f.texts[number]
	first := (node*f.opts.Plugins + number) * f.opts.Fields
	for i := range p.fields {
		b = append(b, p.fields[i].head...)
		owner := int64(first + i)
		if p.fields[i].counter {
			b = strconv.AppendInt(b, tick%(1<<28)<<24|owner, 10)
		} else {
			b = strconv.AppendInt(b, owner, 10)
			fraction := (tick*7 + int64(i)*13) % 100
			b = append(b, '.', '0'+byte(fraction/10), '0'+byte(fraction%10))
		}
		b = append(b, '\n')
	}
	return append(b, ".\n"...)
}

// Owner says which series a stored value is of: the node, and the names of graph and field. It is false for
// what no node of the fleet says.
func (f *Fleet) Owner(value float64) (node int, graph, name string, ok bool) {
	if !(value >= 0 && value < 1<<53) {
		return 0, "", "", false
	}
	for _, counter := range []bool{true, false} {
		owner := int(math.Floor(value))
		if counter {
			if value != math.Floor(value) || value < 1<<24 {
				continue
			}
			owner = int(int64(value) & (maxSeries - 1))
		}
		i, rest := owner%f.opts.Fields, owner/f.opts.Fields
		number, at := rest%f.opts.Plugins, rest/f.opts.Plugins
		if isCounter(i) != counter || at >= f.opts.Nodes {
			continue
		}
		graph = pluginName(number)
		if i >= detailAfter(number, f.opts.Fields) {
			graph += ".detail"
		}
		return at, graph, fieldName(number, i), true
	}
	return 0, "", "", false
}

// number finds a plugin by the name that was asked for.
func (f *Fleet) number(name []byte) (int, bool) {
	digits, ok := strings.CutPrefix(string(name), "sim")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0 && n < len(f.texts) && f.texts[n].name == string(name)
}
