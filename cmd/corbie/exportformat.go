package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
	"corbie/storage/series"
)

// Formats of export alone.
const (
	formatJSONL       = "jsonl"
	formatOpenMetrics = "openmetrics"
)

// rowSink is a consumer contract: it models one export format. Rows belong to the series that was named last.
type rowSink interface {
	begin() error
	series(id munin.SeriesID, averages bool) error
	row(p munin.Point) error
	end() error
}

// newRowSink makes the sink of a format; the error says which there are.
func newRowSink(out *bufio.Writer, format string) (rowSink, error) {
	switch format {
	case formatCSV:
		return &csvSink{w: csv.NewWriter(out)}, nil
	case formatJSONL, formatJSON:
		return &jsonSink{enc: json.NewEncoder(out)}, nil
	case formatOpenMetrics:
		return &openMetricsSink{w: out}, nil
	}
	return nil, fmt.Errorf("%q: want csv, jsonl or openmetrics", format)
}

// csvSink writes a heading and a line for each value; one that is not known is empty.
type csvSink struct {
	w     *csv.Writer
	cells [5]string
}

func (s *csvSink) begin() error {
	return s.w.Write([]string{"time", "host", "graph", "field", "value"})
}

func (s *csvSink) series(id munin.SeriesID, _ bool) error {
	s.cells[1], s.cells[2], s.cells[3] = string(id.Host), id.Graph, id.Field
	return nil
}

func (s *csvSink) row(p munin.Point) error {
	s.cells[0], s.cells[4] = p.Time().Format("2006-01-02T15:04:05.000Z07:00"), ""
	if !math.IsNaN(p.V) {
		s.cells[4] = formatRaw(p.V)
	}
	return s.w.Write(s.cells[:])
}

func (s *csvSink) end() error {
	s.w.Flush()
	return s.w.Error()
}

// jsonSink writes an object on a line for each value; one that is not known is null.
type jsonSink struct {
	enc  *json.Encoder
	next exportRow
}

// exportRow is one value of an export.
type exportRow struct {
	Time  time.Time    `json:"time"`
	Host  munin.HostID `json:"host"`
	Graph string       `json:"graph"`
	Field string       `json:"field"`
	Value number       `json:"value"`
}

func (s *jsonSink) begin() error { return nil }

func (s *jsonSink) series(id munin.SeriesID, _ bool) error {
	s.next = exportRow{Host: id.Host, Graph: id.Graph, Field: id.Field}
	return nil
}

func (s *jsonSink) row(p munin.Point) error {
	s.next.Time, s.next.Value = p.Time(), number(p.V)
	return s.enc.Encode(&s.next)
}

func (s *jsonSink) end() error { return nil }

// escape makes a text the value of a label.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(text, "\uFFFD"))
}

// openMetricsSink writes the text format OpenMetrics 1.0, with the names and labels that the series have in the store. Series of one metric
// come one after the other. A value that is not known is left out: a NaN would be a value like any other to who reads it.
type openMetricsSink struct {
	w      *bufio.Writer
	family string
	name   string // of the series, with its labels
	line   []byte
}

func (s *openMetricsSink) begin() error { return nil }

func (s *openMetricsSink) series(id munin.SeriesID, averages bool) error {
	var name strings.Builder
	family := series.MetricName(id.Graph)
	name.WriteString(family + "{")
	label := func(key, value string) { name.WriteString(key + `="` + escape(value) + `"`) }
	label("field", id.Field)
	label(",graph", id.Graph)
	if group := id.Host.Group(); group != "" {
		label(",group", group)
	}
	label(",host", id.Host.Name())
	if averages {
		label(",rollup", "avg")
	}
	name.WriteString("} ")
	s.name = name.String()
	if s.family == family {
		return nil
	}
	s.family = family
	// Counters are stored as they came, under names without the _total that the type "counter" asks for.
	_, err := s.w.WriteString("# TYPE " + family + " unknown\n")
	return err
}

func (s *openMetricsSink) row(p munin.Point) error {
	if math.IsNaN(p.V) {
		return nil
	}
	s.line = append(s.line[:0], s.name...)
	if math.IsInf(p.V, 0) {
		s.line = strconv.AppendFloat(s.line, p.V, 'g', -1, 64)
	} else {
		s.line = strconv.AppendFloat(s.line, p.V, 'f', -1, 64)
	}
	s.line = append(s.line, ' ')
	s.line = strconv.AppendFloat(s.line, float64(p.T)/1000, 'f', -1, 64)
	s.line = append(s.line, '\n')
	_, err := s.w.Write(s.line)
	return err
}

func (s *openMetricsSink) end() error {
	_, err := s.w.WriteString("# EOF\n")
	return err
}

// exportProgress says how far an export is: on a terminal in one line that changes, else in a line from time to time.
type exportProgress struct {
	w        io.Writer // nil: nobody asks
	terminal bool
	begun    time.Time
	shown    time.Time
	total    int // graphs
	done     int
	values   int64
	left     leftOut
}

// newExportProgress shows it where it was asked for, and on a terminal that does not show the values themselves.
func newExportProgress(stderr, stdout io.Writer, asked bool) *exportProgress {
	now := time.Now()
	e := &exportProgress{terminal: isTerminal(stderr), begun: now, shown: now}
	if asked || e.terminal && !isTerminal(stdout) {
		e.w = stderr
	}
	return e
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (e *exportProgress) add(values int) {
	e.values += int64(values)
	every := 5 * time.Second
	if e.terminal {
		every = 250 * time.Millisecond
	}
	if e.w == nil || time.Since(e.shown) < every {
		return
	}
	e.shown = time.Now()
	if e.terminal {
		fmt.Fprintf(e.w, "\r%s\x1b[K", e.text())
	} else {
		fmt.Fprintf(e.w, "corbie: export: %s\n", e.text())
	}
}

func (e *exportProgress) text() string {
	percent := 100
	if e.total > 0 {
		percent = 100 * e.done / e.total
	}
	return fmt.Sprintf("%d %%, %d of %d graphs, %d values", percent, e.done, e.total, e.values)
}

// end clears the line, and says what it came to when that was asked for.
func (e *exportProgress) end(whole bool) {
	switch {
	case e.w == nil:
		return
	case e.terminal:
		fmt.Fprint(e.w, "\r\x1b[K")
	}
	if whole {
		fmt.Fprintf(e.w, "corbie: export: %s in %s\n", e.text(), time.Since(e.begun).Round(time.Second))
	}
}
