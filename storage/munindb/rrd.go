// Package munindb reads what a Munin master keeps in its dbdir: the history of each field in an RRD file, and the
// datafile, which says what the fields are.
package munindb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"corbie/munin"
	"corbie/storage/rollup"
)

// Sizes in bytes of the parts of an RRD file as rrdtool writes it on 64-bit little-endian machines.
const (
	headSize     = 128
	dsSize       = 120
	rraSize      = 120
	liveSize     = 16
	pdpSize      = 112
	cdpSize      = 80
	pointerSize  = 8
	maxParts     = 1000
	maxRows      = 100_000_000
	maxFileBytes = 1 << 30
	// floatCookie tells that the file was written on a machine that lays numbers out in the same way.
	floatCookie = 8.642135e130
)

// RRD is the content of one file, of its first data source: Munin's have one.
type RRD struct {
	Step time.Duration
	Last time.Time // of the last update
	Type munin.FieldType
	// Bounds and Heartbeat are those of the data source.
	Bounds    munin.Bounds
	Heartbeat time.Duration
	Archives  []Archive
}

// Archive is what the file keeps at one resolution.
type Archive struct {
	Size time.Duration // of a row
	// Buckets are the rows that are known, oldest first. Count is how many steps a row holds.
	Buckets []rollup.Bucket
}

// Span is the time from the first known row to the last; ok is false where none is known.
func (a *Archive) Span() (span rollup.Span, ok bool) {
	if len(a.Buckets) == 0 {
		return span, false
	}
	return rollup.Span{From: a.Buckets[0].Start, To: a.Buckets[len(a.Buckets)-1].Start + a.Size.Milliseconds()}, true
}

// rra is the definition of one round robin archive, and its rows, oldest first.
type rra struct {
	function string
	rows     uint64
	steps    uint64 // in a row
	values   []float64
}

// ReadRRD reads an RRD file.
func ReadRRD(path string) (*RRD, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s: %d bytes are more than the limit of %d", path, info.Size(), maxFileBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := ParseRRD(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// parser walks over the bytes of a file; reads past the end give zeros and set short.
type parser struct {
	data  []byte
	short bool
}

func (p *parser) bytes(n int) []byte {
	if n > len(p.data) {
		p.short, p.data = true, nil
		return make([]byte, n)
	}
	out := p.data[:n]
	p.data = p.data[n:]
	return out
}

func (p *parser) number() uint64 { return binary.LittleEndian.Uint64(p.bytes(8)) }

func (p *parser) float() float64 { return math.Float64frombits(p.number()) }

func (p *parser) text(n int) string {
	text, _, _ := bytes.Cut(p.bytes(n), []byte{0})
	return string(text)
}

var errForeign = errors.New("not an RRD file of this kind of machine: dump it there with 'rrdtool dump' and read it here with 'rrdtool restore'")

// ParseRRD reads the bytes of an RRD file.
func ParseRRD(data []byte) (*RRD, error) {
	p := &parser{data: data}
	if err := cookie(p); err != nil {
		return nil, err
	}
	sources, archives, step := p.number(), p.number(), p.number()
	p.bytes(headSize - 48)
	if sources < 1 || sources > maxParts || archives < 1 || archives > maxParts || step < 1 || step > 366*86400 {
		return nil, fmt.Errorf("%d data sources, %d archives and a step of %d s are not believable", sources, archives, step)
	}
	r := &RRD{Step: time.Duration(step) * time.Second}
	if err := r.source(p); err != nil {
		return nil, err
	}
	p.bytes(int(sources-1) * dsSize)
	all, err := definitions(p, int(archives), step)
	if err != nil {
		return nil, err
	}
	last := p.number()
	p.bytes(liveSize - 8 + int(sources)*(pdpSize+int(archives)*cdpSize))
	if err := values(p, all, int(sources)); err != nil {
		return nil, err
	}
	if last > 1<<35 {
		return nil, fmt.Errorf("the last update at %d s is not believable", last)
	}
	r.Last = time.Unix(int64(last), 0).UTC()
	r.combine(all, int64(step))
	return r, nil
}

// cookie reads by what a file is known.
func cookie(p *parser) error {
	name, release := p.text(4), p.text(5)
	p.bytes(7)
	if float := p.float(); p.short || name != "RRD" || float != floatCookie {
		return errForeign
	}
	if release != "0003" && release != "0004" {
		return fmt.Errorf("version %q of the RRD format is not known: want 0003 or 0004", release)
	}
	return nil
}

// source reads the definition of the first data source.
func (r *RRD) source(p *parser) error {
	p.text(20)
	kind, err := munin.ParseFieldType(p.text(20))
	if err != nil {
		return err
	}
	heartbeat, low, high := p.number(), p.float(), p.float()
	p.bytes(dsSize - 64)
	r.Type = kind
	r.Heartbeat = time.Duration(min(heartbeat, 366*86400)) * time.Second
	if !math.IsNaN(low) {
		r.Bounds.Low, r.Bounds.HasLow = low, true
	}
	if !math.IsNaN(high) {
		r.Bounds.High, r.Bounds.HasHigh = high, true
	}
	return nil
}

func definitions(p *parser, count int, step uint64) ([]rra, error) {
	all := make([]rra, count)
	for i := range all {
		all[i].function = p.text(20)
		p.bytes(4)
		all[i].rows, all[i].steps = p.number(), p.number()
		p.bytes(rraSize - 40)
		if a := all[i]; !p.short && (a.rows < 1 || a.rows > maxRows || a.steps < 1 || a.steps > 100*366*86400/step) {
			return nil, fmt.Errorf("archive %d of %d rows with %d steps each is not believable", i+1, a.rows, a.steps)
		}
	}
	return all, nil
}

// values reads where each archive begins, and its rows. Of several data sources the first counts.
func values(p *parser, all []rra, sources int) error {
	newest := make([]uint64, len(all))
	want := uint64(0)
	for i := range all {
		newest[i] = p.number()
		want += all[i].rows * uint64(sources) * 8
		if newest[i] >= all[i].rows {
			return fmt.Errorf("archive %d of %d rows cannot end at row %d", i+1, all[i].rows, newest[i])
		}
	}
	if p.short || uint64(len(p.data)) < want {
		return errors.New("the file is cut off")
	}
	for i := range all {
		a := &all[i]
		rows := p.bytes(int(a.rows) * sources * 8)
		a.values = make([]float64, a.rows)
		for k := range a.values {
			at := (newest[i] + 1 + uint64(k)) % a.rows * uint64(sources) * 8
			a.values[k] = math.Float64frombits(binary.LittleEndian.Uint64(rows[at:]))
		}
	}
	return nil
}

// combine puts the averages, least and greatest values of one resolution together. A row without a least or greatest value has its average
// instead.
func (r *RRD) combine(all []rra, step int64) {
	for i := range all {
		a := &all[i]
		if a.function != "AVERAGE" {
			continue
		}
		size := step * int64(a.steps)
		end := r.Last.Unix() - r.Last.Unix()%size
		archive := Archive{Size: time.Duration(size) * time.Second}
		for k, v := range a.values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			back := int64(len(a.values) - k)
			b := rollup.Bucket{Start: (end - back*size) * 1000, Bucket: munin.Bucket{Avg: v, Min: v, Max: v, Count: int(a.steps)}}
			b.Min = sameRow(all, "MIN", a.steps, back, v)
			b.Max = sameRow(all, "MAX", a.steps, back, v)
			archive.Buckets = append(archive.Buckets, b)
		}
		r.add(archive)
	}
}

// add takes an archive; of two of the same resolution the one that knows more stays.
func (r *RRD) add(archive Archive) {
	for i := range r.Archives {
		if r.Archives[i].Size == archive.Size {
			if len(archive.Buckets) > len(r.Archives[i].Buckets) {
				r.Archives[i] = archive
			}
			return
		}
	}
	r.Archives = append(r.Archives, archive)
}

// sameRow is what another function kept for the same time, so many rows before the end.
func sameRow(all []rra, function string, steps uint64, back int64, otherwise float64) float64 {
	for i := range all {
		a := &all[i]
		if a.function != function || a.steps != steps || back > int64(len(a.values)) {
			continue
		}
		if v := a.values[int64(len(a.values))-back]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	}
	return otherwise
}
