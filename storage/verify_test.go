package storage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
)

// everyKind makes a data folder with blocks of each kind, and gives the model and the time that it begins.
func everyKind(t *testing.T) (dir string, m *model, begin time.Time) {
	t.Helper()
	dir = t.TempDir()
	m = newModel(3, rand.New(rand.NewPCG(51, 52)))
	begin = fillPast(t, dir, m, 60)
	var history []storage.History
	for _, source := range m.sources {
		history = append(history, storage.History{Source: source, Archives: []storage.Archive{rows(30*time.Minute, 1000, begin), rows(day, 400, begin)}})
	}
	if err := storage.Import(t.Context(), dir, history); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	return dir, m, begin
}

func verify(t *testing.T, dir string) storage.Verified {
	t.Helper()
	found, err := storage.Verify(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// blockFile is a file of the first block in a folder.
func blockFile(t *testing.T, dir, folder, file string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, folder, "0*", file))
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s in %s: %v", file, folder, err)
	}
	return found[0]
}

// flip turns one bit over, and gives back how to turn it back.
func flip(t *testing.T, path string, bit int64) (undo func()) {
	t.Helper()
	turn := func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		_, err = f.ReadAt(b[:], bit/8)
		b[0] ^= 1 << (bit % 8)
		_, errWrite := f.WriteAt(b[:], bit/8)
		if err = errors.Join(err, errWrite, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	return turn
}

func TestVerifyFindsEachFlippedBitInEachKindOfBlock(t *testing.T) {
	dir, _, _ := everyKind(t)
	if good := verify(t, dir); len(good.Faults) > 0 || good.Blocks < 6 || good.Bytes < 10_000 {
		t.Fatalf("of what is whole it says %+v", good)
	}
	rng := rand.New(rand.NewPCG(53, 54))
	for _, folder := range []string{"raw", "hour", "day", "imported/1800", "imported/86400"} {
		for _, file := range []string{"chunks/000001", "index", "tombstones"} {
			path := blockFile(t, dir, folder, file)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			missed := 0
			for range 12 {
				at := rng.Int64N(info.Size())
				whole, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				undo := flip(t, path, at*8+rng.Int64N(8))
				found := verify(t, dir)
				undo()
				switch {
				case len(found.Faults) == 1 && strings.HasPrefix(found.Faults[0].Path, folder+"/") && found.Faults[0].Reason != "":
				case len(found.Faults) == 0 && whole[at] == 0: // between parts of an index stand bytes that nobody reads
					missed++
				default:
					t.Errorf("%s/%s, byte %d: found %+v", folder, file, at, found.Faults)
				}
			}
			if missed > 6 {
				t.Errorf("%s/%s: %d of 12 flipped bits were not found", folder, file, missed)
			}
		}
	}
}

func TestVerifyFindsDamagedMetaAndLostFiles(t *testing.T) {
	dir, _, _ := everyKind(t)
	for _, folder := range []string{"raw", "hour", "day", "imported/1800"} {
		for _, change := range [][2]string{{`"ulid": "0`, `"ulid": "1`}, {`"numSamples": `, `"numSamples": 1`}, {`{`, ``}, {`"minTime": `, `"minTime": 99`}} {
			path := blockFile(t, dir, folder, "meta.json")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), change[0], change[1], 1)
			if changed == string(text) {
				t.Fatalf("%s has no %q", path, change[0])
			}
			rewrite(t, path, changed)
			if found := verify(t, dir); len(found.Faults) != 1 || !strings.HasPrefix(found.Faults[0].Path, folder) {
				t.Errorf("%s with %q: found %+v", path, change[1], found.Faults)
			}
			rewrite(t, path, string(text))
		}
		path := blockFile(t, dir, folder, "chunks/000001")
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		if found := verify(t, dir); len(found.Faults) != 1 {
			t.Errorf("without %s: found %+v", path, found.Faults)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyNamesTheTimeAndTheSeriesOfADamagedChunk(t *testing.T) {
	dir, m, begin := everyKind(t)
	flip(t, blockFile(t, dir, "raw", "chunks/000001"), 30*8)
	found := verify(t, dir)
	if len(found.Faults) != 1 {
		t.Fatalf("found %+v", found.Faults)
	}
	f := found.Faults[0]
	known := func(name string) bool {
		for id := range m.sources {
			if id.String() == name {
				return true
			}
		}
		return false
	}
	if f.Count != 1 || len(f.Series) != 1 || !known(f.Series[0]) || f.Span.From != begin.UnixMilli() || f.Span.To-f.Span.From > (30*day).Milliseconds() ||
		!strings.Contains(f.Reason, "chunks/000001, byte 8: checksum mismatch") {
		t.Errorf("it says %+v", f)
	}
}

func TestVerifyEndsWhenItIsToldToAndAsksBetweenPieces(t *testing.T) {
	dir, _, _ := everyKind(t)
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	_, err := storage.Verify(ctx, dir, func(n int) error {
		if asked++; asked == 2 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || asked > 3 {
		t.Errorf("asked %d times, ended with %v", asked, err)
	}
}

func TestDamagedHoursAreMadeAgainWhileTheirSamplesAreThere(t *testing.T) {
	dir, m, begin := everyKind(t)
	whole := munin.Range{From: begin, To: begin.Add(50 * day)}
	for _, folder := range []string{"hour", "day"} {
		flip(t, blockFile(t, dir, folder, "chunks/000001"), 30*8)
	}
	found := verify(t, dir)
	if err := found.Save(dir); err != nil || len(found.Faults) != 2 {
		t.Fatalf("found %+v, %v", found.Faults, err)
	}
	if kept := storage.LastVerified(dir); len(kept.Faults) != 2 || !kept.Ended.Equal(found.Ended) {
		t.Errorf("kept %+v", kept)
	}
	s := open(t, dir)
	dropped, err := s.DropDamaged(found.Faults)
	if err != nil || len(dropped) != 2 {
		t.Fatalf("dropped %+v, %v", dropped, err)
	}
	if _, err := s.RollUp(t.Context(), m.sourceOf); err != nil {
		t.Fatal(err)
	}
	m.check(t, s, whole, time.Hour)
	m.check(t, s, whole, day)
	if again, kept := verify(t, dir), storage.LastVerified(dir); len(again.Faults) > 0 || len(kept.Faults) > 0 {
		t.Errorf("still damaged: %+v, %+v", again.Faults, kept.Faults)
	}
}

func TestDamagedHoursStayWhereTheirSamplesAreGoneOrDamaged(t *testing.T) {
	dir, _, _ := everyKind(t)
	flip(t, blockFile(t, dir, "hour", "chunks/000001"), 30*8)
	flip(t, blockFile(t, dir, "raw", "chunks/000001"), 30*8)
	s := open(t, dir)
	found := verify(t, dir)
	if dropped, err := s.DropDamaged(found.Faults); err != nil || len(dropped) > 0 || len(found.Faults) != 2 {
		t.Errorf("of %+v it dropped %+v, %v", found.Faults, dropped, err)
	}
	// Without the damage of the samples, but with the samples gone.
	hours := slices.DeleteFunc(found.Faults, func(f storage.Fault) bool { return strings.HasPrefix(f.Path, "raw") })
	closeStore(t, s)
	raw := filepath.Dir(blockFile(t, dir, "raw", "meta.json"))
	if err := os.Rename(raw, filepath.Join(t.TempDir(), filepath.Base(raw))); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if dropped, err := s.DropDamaged(hours); err != nil || len(dropped) > 0 {
		t.Errorf("it dropped %+v, %v", dropped, err)
	}
}
