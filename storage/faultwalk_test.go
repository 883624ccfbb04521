package storage_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/munin"
	"corbie/storage"
	"corbie/storage/catalog"
	"corbie/storage/disk"
	"corbie/storage/storagetest"
)

// childMeets stores as a master does, whatever the disk does: what it takes is said as "s HOST TIME" and, of the catalogue, "c NUMBER"; what it does not take
// now is let go.
func childMeets(dir, from string) error {
	ms, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return err
	}
	c, err := catalog.Open(filepath.Join(dir, "catalog.db"), catalog.Options{})
	if err != nil {
		return err
	}
	s, err := storage.Open(dir, storage.Options{Window: lifeWindow})
	if err != nil {
		return err
	}
	fmt.Println("open")
	ctx := context.Background()
	for n := 0; ; n++ {
		host := n % killHosts
		at := ms + int64(n/killHosts)*1000
		if n%7 == 0 {
			at -= 3_600_000 + 500 // late
		}
		batch := make([]munin.Reading, killFields)
		for f := range batch {
			batch[f] = munin.Reading{ID: killID(host, f), Point: munin.Point{T: at, V: killValue(host, f, at)}}
		}
		switch err := s.Append(ctx, batch); {
		case err == nil:
			fmt.Println("s", host, at)
			<-time.After(time.Millisecond) // a long walk shall not end with a log of an hour's reading
		case disk.Stuck(err):
			<-time.After(5 * time.Millisecond)
		default:
			return err
		}
		if n%10 == 0 {
			number := ms + int64(n)
			state := munin.AlertState{ID: killID(0, 0), Value: float64(number), Since: time.UnixMilli(number), Changed: time.UnixMilli(number)}
			if err := c.SaveStates(ctx, []munin.AlertState{state}); err != nil {
				return err
			}
			if !c.InMemory() {
				fmt.Println("c", number)
			}
		}
	}
}

// faultWalk is what the parent knows of all its children.
type faultWalk struct {
	disk, data, ballast string
	rng                 *rand.Rand

	mu    sync.Mutex
	acked map[written]bool
	saved int64 // greatest number of the catalogue
	stuck bool  // the disk takes nothing, or not yet
	read  bool  // it is read-only
}

func (w *faultWalk) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// listen takes down what a child says until it dies.
func (w *faultWalk) listen(c *child, opened chan<- bool) {
	for c.out.Scan() {
		w.mu.Lock()
		switch kind, rest, _ := strings.Cut(c.out.Text(), " "); kind {
		case "open":
			opened <- true
		case "s":
			var one written
			if _, err := fmt.Sscan(rest, &one.host, &one.at); err == nil {
				w.acked[one] = true
			}
		case "c":
			if n, err := strconv.ParseInt(rest, 10, 64); err == nil {
				w.saved = max(w.saved, n)
			}
		}
		w.mu.Unlock()
	}
	close(opened)
}

// stick makes the disk take nothing: full while anybody may have a file open, or read-only while nobody has.
func (w *faultWalk) stick(t *testing.T, nobody bool) {
	t.Helper()
	w.stuck = true
	if w.read = nobody && w.rng.IntN(2) == 0; w.read {
		storagetest.Remount(t, w.disk, true)
		return
	}
	storagetest.Fill(t, w.ballast)
}

func (w *faultWalk) mend(t *testing.T) {
	t.Helper()
	if !w.stuck {
		return
	}
	if w.stuck = false; w.read {
		storagetest.Remount(t, w.disk, false)
		return
	}
	if err := os.Remove(w.ballast); err != nil {
		t.Fatal(err)
	}
}

// tear leaves a piece of a record behind what was written, as an interrupted write does.
func (w *faultWalk) tear(t *testing.T) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(w.data, "raw", "w?l", "0*"))
	if err != nil || len(logs) == 0 {
		return
	}
	slices.Sort(logs)
	for _, path := range []string{logs[len(logs)-1], filepath.Join(w.data, "catalog.db-wal")} {
		piece := make([]byte, 1+w.rng.IntN(3000))
		for i := range piece {
			piece[i] = byte(w.rng.IntN(256))
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = f.Write(piece)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (w *faultWalk) pause(most int) { <-time.After(time.Duration(w.rng.IntN(most)) * time.Millisecond) }

// life is that of one child.
func (w *faultWalk) life(t *testing.T, from time.Time) {
	t.Helper()
	c, opened := startChild(t, "faults", w.data, strconv.FormatInt(from.UnixMilli(), 10)), make(chan bool, 1)
	go w.listen(c, opened)
	if w.rng.IntN(6) == 0 { // while it opens
		w.pause(150)
	} else if !<-opened {
		t.Fatal("the child did not open its data, see above")
	} else {
		w.pause(200)
		w.mend(t)
		w.goesOn(t)
		for range w.rng.IntN(3) {
			w.stick(t, false)
			w.pause(200)
			w.mend(t)
			w.goesOn(t)
		}
		if w.rng.IntN(3) == 0 {
			w.stick(t, false)
		}
		w.pause(100)
	}
	c.kill(t)
	for range opened { // until all was read that it had said
	}
	if !w.stuck && w.rng.IntN(2) == 0 {
		w.tear(t)
	}
	switch w.rng.IntN(3) {
	case 0:
		w.mend(t)
	case 1:
		if !w.stuck {
			w.stick(t, true)
		}
	}
}

// goesOn waits until something is stored again.
func (w *faultWalk) goesOn(t *testing.T) {
	t.Helper()
	before, limit := w.count(), time.After(patience)
	for w.count() == before {
		select {
		case <-limit:
			t.Fatal("nothing is stored though the disk takes it")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestAWalkOfRandomFaultsLosesNothingAcknowledged mixes kill -9, torn writes, a full and a read-only disk.
func TestAWalkOfRandomFaultsLosesNothingAcknowledged(t *testing.T) {
	mount := storagetest.SmallDisk(t, "size=300m")
	w := &faultWalk{
		disk: mount, data: filepath.Join(mount, "data"), ballast: filepath.Join(mount, "ballast"), rng: rngOf(41), acked: make(map[written]bool),
	}
	if err := os.Mkdir(w.data, 0o700); err != nil {
		t.Fatal(err)
	}
	begin := time.Now().Add(-25 * day)
	rounds := kills(t, 5)
	for round := range rounds {
		w.life(t, begin.Add(time.Duration(round%250)*2*time.Hour))
	}
	w.mend(t)
	s := open(t, w.data, storage.Options{Window: lifeWindow})
	have, missing := make(map[munin.SeriesID]map[int64]float64), 0
	for one := range w.acked {
		for f := range killFields {
			id := killID(one.host, f)
			if have[id] == nil {
				have[id] = rawMap(t, s, id, munin.Range{From: begin.Add(-day), To: time.Now().Add(day)})
			}
			if v, ok := have[id][one.at]; !ok || v != killValue(one.host, f, one.at) {
				missing++
			}
		}
	}
	t.Logf("%d lives, %d samples acknowledged, %d missing", rounds, len(w.acked)*killFields, missing)
	if missing > 0 || len(w.acked) < 100 || len(s.Quarantined()) > 0 {
		t.Errorf("of %d samples that were acknowledged %d are missing or wrong; set aside: %v", len(w.acked)*killFields, missing, s.Quarantined())
	}
	c, err := catalog.Open(filepath.Join(w.data, "catalog.db"), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	states, err := c.States(t.Context())
	if err = errors.Join(err, c.Close()); err != nil || len(states) != 1 || states[0].Value < float64(w.saved) || math.IsNaN(states[0].Value) {
		t.Errorf("the catalogue holds %v, %v; want at least %d", states, err, w.saved)
	}
}
