package series

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/tombstones"

	"corbie/munin"
	"corbie/storage/rollup"
)

// A side block is a finished block of the TSDB's own format in a folder of its own. It keeps four series for each series of
// samples: the average, the count, the greatest and the least of each bucket. To the labels of the series two
// are added: the recipe by which raw samples became values, and which of the four it is. They sort last, so the four lie together.
const (
	labelRecipe = "recipe"
	labelRollup = "rollup"
	// sideChunk is how many buckets go into a chunk: twice what the TSDB takes, for 2 percent fewer bytes.
	sideChunk = 240
	// partSuffix ends the names of unfinished side blocks.
	partSuffix = ".part"
	// noBuckets is the count of the only bucket of a series whose samples gave no value by its recipe.
	noBuckets = -1
)

// The four, in the order of labels.
const (
	aggAvg = iota
	aggCount
	aggMax
	aggMin
	aggregates
)

func aggregateName(i int) string { return [...]string{"avg", "count", "max", "min"}[i] }

// SideMeta says what a side block was made of.
type SideMeta struct {
	From  int64 `json:"from"`  // buckets that begin in it, Unix milliseconds
	To    int64 `json:"to"`    // exclusive
	Size  int64 `json:"size"`  // of a bucket, in milliseconds
	Reach int64 `json:"reach"` // how long before From samples were read for the sake of the first rates, in milliseconds
	// Parents are the blocks of samples that overlapped From - Reach to To.
	Parents []ulid.ULID `json:"parents"`
	// Replaces is the block from which this one was written, with less in it; that one is not read any more.
	Replaces ulid.ULID `json:"replaces,omitzero"`
	// Carries says that some buckets are of samples that were lost: they were taken over from an earlier side block.
	Carries bool `json:"carries,omitempty"`
}

// Span is the time that the buckets cover.
func (m *SideMeta) Span() rollup.Span { return rollup.Span{From: m.From, To: m.To} }

// sideFile is the meta.json of a side block: that of any block, and what it was made of.
type sideFile struct {
	tsdb.BlockMeta

	Rollup SideMeta `json:"rollup"`
}

// SideWriter writes one side block. Either Commit or Discard must be called at the end.
type SideWriter struct {
	dir, tmp string
	file     sideFile
	index    *index.Writer
	chunks   *chunks.Writer
	metas    [aggregates][]chunks.Meta
}

// Symbols gathers the strings that the index of a side block needs before its first series.
type Symbols map[string]struct{}

// NewSymbols begins with those that each side block has.
func NewSymbols() Symbols {
	s := make(Symbols)
	for _, text := range []string{"", model.MetricNameLabel, LabelGroup, labelHost, labelGraph, labelField, labelRecipe, labelRollup} {
		s[text] = struct{}{}
	}
	for i := range aggregates {
		s[aggregateName(i)] = struct{}{}
	}
	return s
}

// Add takes the strings of one series.
func (s Symbols) Add(id munin.SeriesID, recipe string) {
	for _, text := range []string{MetricName(id.Graph), id.Host.Group(), id.Host.Name(), id.Graph, id.Field, recipe} {
		s[text] = struct{}{}
	}
}

// CreateSide begins a side block in a folder of side blocks.
func CreateSide(ctx context.Context, dir string, meta SideMeta, symbols Symbols) (*SideWriter, error) {
	name := ulid.Make()
	w := &SideWriter{dir: dir, tmp: filepath.Join(dir, name.String()+partSuffix)}
	w.file.BlockMeta = tsdb.BlockMeta{ULID: name, MinTime: meta.From, MaxTime: meta.To, Version: 1}
	w.file.Compaction = tsdb.BlockMetaCompaction{Level: 1, Sources: []ulid.ULID{name}}
	w.file.Rollup = meta
	if err := w.create(ctx, symbols); err != nil {
		return nil, fmt.Errorf("write a rollup: %w", errors.Join(err, w.Discard()))
	}
	return w, nil
}

func (w *SideWriter) create(ctx context.Context, symbols Symbols) (err error) {
	if err = os.MkdirAll(w.tmp, 0o750); err != nil {
		return err
	}
	if w.chunks, err = chunks.NewWriter(filepath.Join(w.tmp, "chunks"), chunks.WithSegmentSize(segmentBytes)); err != nil {
		return err
	}
	if w.index, err = index.NewWriter(ctx, filepath.Join(w.tmp, "index")); err != nil {
		return err
	}
	sorted := make([]string, 0, len(symbols))
	for text := range symbols {
		sorted = append(sorted, text)
	}
	slices.Sort(sorted)
	for _, text := range sorted {
		if err = w.index.AddSymbol(text); err != nil {
			return err
		}
	}
	return nil
}

// Add takes the next series, in the order of DB.Walk or of SortIDs, with its buckets, oldest first.
func (w *SideWriter) Add(id munin.SeriesID, recipe string, buckets []rollup.Bucket) error {
	if len(buckets) == 0 {
		return nil
	}
	base := labels.NewBuilder(LabelsOf(id)).Set(labelRecipe, recipe)
	for i := range aggregates {
		if err := w.encode(i, buckets); err != nil {
			return fmt.Errorf("write a rollup of %s: %w", id, err)
		}
		ref := storage.SeriesRef(w.file.Stats.NumSeries)
		err := w.chunks.WriteChunks(w.metas[i]...)
		if err == nil {
			err = w.index.AddSeries(ref, base.Set(labelRollup, aggregateName(i)).Labels(), w.metas[i]...)
		}
		if err != nil {
			return fmt.Errorf("write a rollup of %s: %w", id, err)
		}
		w.file.Stats.NumSeries++
		w.file.Stats.NumChunks += uint64(len(w.metas[i]))
		w.file.Stats.NumSamples += uint64(len(buckets))
		w.file.Stats.NumFloatSamples += uint64(len(buckets))
	}
	return nil
}

// AddEmpty takes the next series, as Add does, where its samples gave no value at all: by another recipe they may.
func (w *SideWriter) AddEmpty(id munin.SeriesID, recipe string) error {
	return w.Add(id, recipe, []rollup.Bucket{{Start: w.file.Rollup.From, Bucket: munin.Bucket{Count: noBuckets}}})
}

// Carry notes that some of the buckets were taken over from an earlier side block, since their samples were lost.
func (w *SideWriter) Carry() { w.file.Rollup.Carries = true }

// encode makes the chunks of one of the four.
func (w *SideWriter) encode(aggregate int, buckets []rollup.Bucket) error {
	metas := w.metas[aggregate][:0]
	for part := range slices.Chunk(buckets, sideChunk) {
		chunk := chunkenc.NewXORChunk()
		app, err := chunk.Appender()
		if err != nil {
			return err
		}
		for i := range part {
			b := &part[i]
			v := [...]float64{aggAvg: b.Avg, aggCount: float64(b.Count), aggMax: b.Max, aggMin: b.Min}[aggregate]
			app.Append(0, b.Start, v)
		}
		metas = append(metas, chunks.Meta{Chunk: chunk, MinTime: part[0].Start, MaxTime: part[len(part)-1].Start})
	}
	w.metas[aggregate] = metas
	return nil
}

// Commit flushes the block to the disk and gives it its name, all at once.
func (w *SideWriter) Commit() error {
	err := errors.Join(w.chunks.Close(), w.index.Close())
	w.chunks, w.index = nil, nil
	if err == nil {
		_, err = tombstones.WriteFile(slog.New(slog.DiscardHandler), w.tmp, tombstones.NewMemTombstones())
	}
	if err == nil {
		err = writeJSON(filepath.Join(w.tmp, "meta.json"), &w.file)
	}
	if err == nil {
		err = syncDir(w.tmp)
	}
	if err == nil {
		err = os.Rename(w.tmp, filepath.Join(w.dir, w.file.ULID.String()))
	}
	if err == nil {
		err = syncDir(w.dir)
	}
	if err != nil {
		return fmt.Errorf("write a rollup: %w", errors.Join(err, w.Discard()))
	}
	return nil
}

// Discard removes what was written. After Commit it does nothing.
func (w *SideWriter) Discard() error {
	var errs []error
	if w.chunks != nil {
		errs = append(errs, w.chunks.Close())
	}
	if w.index != nil {
		errs = append(errs, w.index.Close())
	}
	w.chunks, w.index = nil, nil
	return errors.Join(append(errs, os.RemoveAll(w.tmp))...)
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// RemoveParts removes what an interrupted writer of side blocks left. Only who holds the lock of the data folder may call it.
func RemoveParts(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), partSuffix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
