package series

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/tombstones"

	"corbie/storage/rollup"
)

// Fault is damage of a block.
type Fault struct {
	Path   string      `json:"path"` // of the block
	Reason string      `json:"reason"`
	Span   rollup.Span `json:"span"` // of what cannot be read; zero where that is not known
	// Series are some of those that it touches, and Count is how many these are; zero where it may be all of the block.
	Series []string `json:"series,omitempty"`
	Count  int      `json:"count,omitempty"`
}

// maxFaultSeries is how many series a Fault names.
const maxFaultSeries = 5

// verifyPiece is how much is read at once.
const verifyPiece = 256 << 10

// VerifyBlock reads all of a block, of raw samples or of hours, days or imported history, and says what is wrong with it, nil if nothing is: every
// file, the checksums of every chunk and of the index, every sample, and whether they are as many as the block says. Seen is told how
// many bytes were read, and may wait or end it with an error. Memory does not grow with the block. A block that is deleted meanwhile is good. The error is
// that of the context or of seen, or says that it could not be found out.
func VerifyBlock(ctx context.Context, dir string, seen func(bytes int) error) (*Fault, error) {
	v := verifier{dir: dir, seen: seen, fault: Fault{Path: dir}}
	err := v.files(ctx)
	if err == nil {
		err = v.content(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case v.stopped != nil:
		return nil, v.stopped
	case !exists(dir), err == nil && v.fault.Reason == "":
		return nil, nil //nolint:nilnil // nothing is wrong
	case errors.Is(err, fs.ErrPermission):
		return nil, err
	case err != nil:
		v.found(err)
	}
	return &v.fault, nil
}

// verifier reads one block.
type verifier struct {
	dir     string
	seen    func(int) error
	stopped error // what seen said
	meta    sideFile
	fault   Fault
	total   tsdb.BlockStats
	last    string // the series of the chunk that was found damaged last
}

func (v *verifier) found(err error) {
	if v.fault.Reason == "" {
		v.fault.Reason = strings.ReplaceAll(err.Error(), v.dir+"/", "")
		if v.fault.Span == (rollup.Span{}) && v.meta.MaxTime > 0 {
			v.fault.Span = rollup.Span{From: v.meta.MinTime, To: v.meta.MaxTime}
		}
	}
}

func (v *verifier) read(n int) error {
	if v.seen != nil && v.stopped == nil {
		v.stopped = v.seen(n)
	}
	return v.stopped
}

// files reads the bytes of all files as such. What the disk cannot give is an error here; in memory that is mapped to a file it would end the process.
func (v *verifier) files(ctx context.Context) error {
	piece := make([]byte, verifyPiece)
	return filepath.WalkDir(v.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		for err == nil {
			var n int
			if n, err = f.Read(piece); n > 0 {
				err = errors.Join(err, ctx.Err(), v.read(n))
			}
		}
		return errors.Join(ignore(err, io.EOF), f.Close())
	})
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

// content checks what the files say.
func (v *verifier) content(ctx context.Context) (err error) {
	// Of damage that no checksum tells the reader of the TSDB may panic, and the disk may fail now.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be read: %v", r)
		}
	}()
	if err := v.readMeta(); err != nil {
		return err
	}
	if _, _, err := tombstones.ReadTombstones(v.dir); err != nil {
		return fmt.Errorf("tombstones: %w", err)
	}
	block, err := tsdb.OpenBlock(slog.New(slog.DiscardHandler), v.dir, chunkenc.NewPool(), tsdb.DefaultPostingsDecoderFactory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, block.Close()) }()
	postings, err := block.Index()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postings.Close()) }()
	data, err := block.Chunks()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	if err := v.lists(ctx, postings); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if err := v.series(ctx, postings, data); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return v.compare()
}

func (v *verifier) readMeta() error {
	text, err := os.ReadFile(filepath.Join(v.dir, "meta.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &v.meta); err != nil {
		v.meta = sideFile{}
		return fmt.Errorf("meta.json is damaged: %w", err)
	}
	name, err := ulid.ParseStrict(filepath.Base(v.dir))
	m, r := &v.meta.BlockMeta, &v.meta.Rollup
	if err != nil || m.ULID != name || m.Version != 1 || m.MinTime >= m.MaxTime || r.Size != 0 && (r.From != m.MinTime || r.To != m.MaxTime) {
		v.meta = sideFile{}
		return errors.New("meta.json is not of this block")
	}
	return nil
}

// lists reads the lists of the series that have a label.
func (v *verifier) lists(ctx context.Context, r tsdb.IndexReader) error {
	names, err := r.LabelNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		values, err := r.LabelValues(ctx, name, nil)
		if err != nil {
			return err
		}
		for _, value := range values {
			list, err := r.Postings(ctx, name, value)
			if err != nil {
				return fmt.Errorf("list of %s=%q: %w", name, value, err)
			}
			for list.Next() {
				continue
			}
			if err := errors.Join(list.Err(), ctx.Err()); err != nil {
				return fmt.Errorf("list of %s=%q: %w", name, value, err)
			}
		}
	}
	return nil
}

// series reads every series and each of its chunks. A damaged chunk does not end it: those of others are read all the same.
func (v *verifier) series(ctx context.Context, r tsdb.IndexReader, data tsdb.ChunkReader) error {
	name, value := index.AllPostingsKey()
	all, err := r.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	var builder labels.ScratchBuilder
	var metas []chunks.Meta
	var it chunkenc.Iterator
	for all.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.Series(all.At(), &builder, &metas); err != nil {
			return err
		}
		v.total.NumSeries++
		bad := false
		for _, meta := range metas {
			v.total.NumChunks++
			var samples int
			if it, samples, err = v.chunk(data, meta, it); err != nil {
				v.damagedChunk(err, meta, builder.Labels(), bad)
				bad = true
			}
			v.total.NumSamples += uint64(samples) //nolint:gosec // a count
		}
	}
	return all.Err()
}

// damagedChunk notes damage; again says that another chunk of the same series was noted before.
func (v *verifier) damagedChunk(err error, meta chunks.Meta, l labels.Labels, again bool) {
	span := rollup.Span{From: meta.MinTime, To: meta.MaxTime + 1}
	if v.fault.Reason == "" {
		v.fault.Span = span
	}
	file, at := chunks.BlockChunkRef(meta.Ref).Unpack()
	v.found(fmt.Errorf("chunks/%06d, byte %d: %w", file+1, at, err))
	v.fault.Span.From, v.fault.Span.To = min(v.fault.Span.From, span.From), max(v.fault.Span.To, span.To)
	if again {
		return
	}
	text := l.String()
	if id, ok := IDOf(l); ok {
		text = id.String()
	}
	if v.last == text { // the four of a rollup
		return
	}
	v.last = text
	if v.fault.Count++; v.fault.Count <= maxFaultSeries {
		v.fault.Series = append(v.fault.Series, text)
	}
}

var errOrder = errors.New("its samples are not those that the index says")

// chunk reads one chunk.
func (v *verifier) chunk(data tsdb.ChunkReader, meta chunks.Meta, it chunkenc.Iterator) (_ chunkenc.Iterator, samples int, err error) {
	chunk, _, err := data.ChunkOrIterable(meta)
	if err != nil {
		return it, 0, err
	}
	it = chunk.Iterator(it)
	first, last := int64(0), int64(0)
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		t := it.AtT()
		if samples == 0 {
			first = t
		} else if t <= last {
			return it, samples, errOrder
		}
		last = t
		samples++
	}
	if err := it.Err(); err != nil {
		return it, samples, err
	}
	if samples == 0 || samples != chunk.NumSamples() || first != meta.MinTime || last != meta.MaxTime {
		return it, samples, errOrder
	}
	return it, samples, nil
}

// compare says whether the block holds as much as it says.
func (v *verifier) compare() error {
	says := &v.meta.Stats
	if v.fault.Reason == "" && (says.NumSeries != v.total.NumSeries || says.NumChunks != v.total.NumChunks || says.NumSamples != v.total.NumSamples) {
		return fmt.Errorf("meta.json says %d series, %d chunks and %d samples, there are %d, %d and %d",
			says.NumSeries, says.NumChunks, says.NumSamples, v.total.NumSeries, v.total.NumChunks, v.total.NumSamples)
	}
	return nil
}
