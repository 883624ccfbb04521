package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/storage/storagetest"
)

// stuckRig is a node with a clock, a level that a file moves, and a counter with a level; a receiver; and the data of a master on a small disk.
type stuckRig struct {
	disk, data, ballast, level, conf string
	hook                             *hook
}

func newStuckRig(t *testing.T, disk string) *stuckRig {
	t.Helper()
	plugins := testenv.PublicDir(t)
	r := &stuckRig{
		disk: disk, data: filepath.Join(disk, "data"), ballast: filepath.Join(disk, "ballast"), level: filepath.Join(testenv.PublicDir(t), "level"),
		hook: newHook(t),
	}
	testenv.WriteFile(t, r.level, "1\n", 0o644)
	testenv.WriteFile(t, filepath.Join(plugins, "clock"), "#!/bin/sh\n[ \"$1\" = config ] && echo v.label v || echo v.value $(date +%s)\n", 0o755)
	testenv.WriteFile(t, filepath.Join(plugins, "level"), "#!/bin/sh\nif [ \"$1\" = config ]; then echo v.label v; echo v.critical :5; else echo v.value $(cat "+
		r.level+"); fi\n", 0o755)
	r.conf = writeConfig(t, startNodeWith(t, plugins, "spool yes\nsample_interval 1s\n"), "notify: {wait: 0s, interval: 1s}\n"+
		"receivers:\n  - name: hook\n    webhook: {url: '"+r.hook.URL+"'}\n")
	return r
}

// told counts the notices by graph and status, such as "corbie_storage firing".
func (r *stuckRig) told() map[string]int {
	r.hook.mu.Lock()
	defer r.hook.mu.Unlock()
	out := make(map[string]int)
	for i, status := range r.hook.statuses {
		out[r.hook.labels[i]["graph"]+" "+status]++
	}
	return out
}

func (r *stuckRig) setLevel(t *testing.T, value int) {
	t.Helper()
	testenv.WriteFile(t, r.level, fmt.Sprintln(value), 0o644)
}

// says waits until a master has logged a text, now or before.
func says(t *testing.T, master *process, text string) {
	t.Helper()
	testenv.Eventually(t, "the log says: "+text, func() bool { return strings.Contains(master.Log(), text) })
}

// worksOn checks that the master polls, judges, notifies and serves while nothing is stored.
func (r *stuckRig) worksOn(t *testing.T, master *process) {
	t.Helper()
	before := polls(t, master)
	testenv.Eventually(t, "polling goes on", func() bool { return polls(t, master) > before+2 })
	testenv.Eventually(t, "a notice of the disk", func() bool { return r.told()["corbie_storage firing"] == 1 })
	r.setLevel(t, 9)
	testenv.Eventually(t, "a level is told", func() bool { return r.told()["level firing"] == 1 })
	for _, path := range []string{"/", "/h/web1", "/h/web1/clock", "/h/web1/clock.svg", "/capacity"} {
		text := master.page(t, path)
		if strings.Contains(text, "does not answer") || path == "/" && !strings.Contains(text, "Values have not been stored since") {
			t.Errorf("%s:\n%s", path, text)
		}
	}
	if text := master.page(t, "/h/web1/clock.csv?from=now-1h"); strings.Count(text, "\n") < 3 {
		t.Errorf("the history of the clock is %q", text)
	}
	if text := master.page(t, "/problems"); !strings.Contains(text, "corbie_storage.stopped") || !strings.Contains(text, "level.v") {
		t.Errorf("the page of problems does not tell of it:\n%s", text)
	}
}

// startsStuck starts a master whose disk takes nothing, lets it work, mends the disk, and looks for what is missing then.
func (r *stuckRig) startsStuck(t *testing.T, stick, mend func()) {
	t.Helper()
	first := startMaster(t, r.data, r.conf)
	testenv.Eventually(t, "values are stored", func() bool { return len(seconds(t, r.data, "v")) > 3 })
	first.Kill()
	stick()
	full := time.Now().Unix()
	master := startMaster(t, r.data, r.conf)
	says(t, master, "samples are not stored")
	r.worksOn(t, master)
	freed := time.Now().Unix()
	mend()
	says(t, master, "samples are stored again")
	testenv.Eventually(t, "the gap is filled", func() bool { return len(gaps(seconds(t, r.data, "v"), full, freed)) == 0 })
	testenv.Eventually(t, "the recovery is told", func() bool { return r.told()["corbie_storage resolved"] == 1 })
	if n := strings.Count(master.Log(), "level=ERROR"); n > 3 {
		t.Errorf("%d errors were logged for one trouble:\n%s", n, master.Log())
	}
	// What was known in memory is on the disk.
	says(t, master, "the catalogue is written again")
	says(t, master, "a file of the notices is written again")
	master.Kill()
	again := startMaster(t, r.data, r.conf)
	r.setLevel(t, 1)
	testenv.Eventually(t, "the level is told to be over", func() bool { return r.told()["level resolved"] == 1 })
	again.Kill()
	want := map[string]int{"corbie_storage firing": 1, "corbie_storage resolved": 1, "level firing": 1, "level resolved": 1}
	if got := r.told(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the receiver was told %v, want %v", got, want)
	}
	all := seconds(t, r.data, "v")
	t.Logf("stuck for %d s, %d values, gaps %v", freed-full, len(all), gaps(all, full, freed))
}

func TestAMasterStartsOnAFullDiskAndStoresOnceThereIsRoom(t *testing.T) {
	t.Parallel()
	r := newStuckRig(t, storagetest.SmallDisk(t, "size=64m"))
	r.startsStuck(t, func() {
		if err := os.Remove(filepath.Join(r.data, "raw", "reserve")); err != nil {
			t.Fatal(err)
		}
		storagetest.Fill(t, r.ballast)
	}, func() {
		if err := os.Remove(r.ballast); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAMasterStartsOnAReadOnlyDiskAndStoresOnceItCan(t *testing.T) {
	t.Parallel()
	r := newStuckRig(t, storagetest.SmallDisk(t, "size=64m"))
	r.startsStuck(t, func() { storagetest.Remount(t, r.disk, true) }, func() { storagetest.Remount(t, r.disk, false) })
}

// TestAMasterWhoseReserveIsTakenGoesOnFromMemory has another program write until nothing is left, and take what the master gives up.
func TestAMasterWhoseReserveIsTakenGoesOnFromMemory(t *testing.T) {
	t.Parallel()
	r := newStuckRig(t, storagetest.SmallDisk(t, "size=64m"))
	master := startMaster(t, r.data, r.conf)
	testenv.Eventually(t, "values are stored", func() bool { return len(seconds(t, r.data, "v")) > 3 })
	storagetest.Fill(t, r.ballast)
	says(t, master, "samples are not stored")
	storagetest.Fill(t, r.ballast)
	testenv.Eventually(t, "the catalogue is in memory", func() bool {
		storagetest.Fill(t, r.ballast)
		return strings.Contains(master.Log(), "the catalogue cannot be written")
	})
	r.worksOn(t, master)
	if err := os.Remove(r.ballast); err != nil {
		t.Fatal(err)
	}
	says(t, master, "the catalogue is written again")
	says(t, master, "samples are stored again")
	if n := strings.Count(master.Log(), "level=ERROR"); n > 3 {
		t.Errorf("%d errors were logged for one trouble:\n%s", n, master.Log())
	}
	if log := master.Log(); strings.Contains(log, "cannot evaluate levels") {
		t.Errorf("levels were not judged:\n%s", log)
	}
}

// TestAMasterWhoseDiskFailsGoesOnAndLosesNothing lets an ext4 become read-only under a running master, as the kernel makes one after an error: it cannot be
// mounted for writing again before it is unmounted and repaired.
func TestAMasterWhoseDiskFailsGoesOnAndLosesNothing(t *testing.T) {
	t.Parallel()
	disk, fail := storagetest.FailingDisk(t)
	r := newStuckRig(t, disk)
	master := startMaster(t, r.data, r.conf)
	testenv.Eventually(t, "values are stored", func() bool { return len(seconds(t, r.data, "v")) > 3 })
	before := seconds(t, r.data, "v")
	fail()
	says(t, master, "samples are not stored")
	r.worksOn(t, master)
	if log := master.Log(); !strings.Contains(log, "the disk is read-only") || strings.Count(log, "level=ERROR") > 3 {
		t.Errorf("it does not say once that the disk is read-only, and what to do:\n%s", log)
	}
	master.Signal(t, syscall.SIGTERM)
	if err := master.Wait(t); err == nil || !strings.Contains(master.Log(), "is lost: the disk cannot be written") {
		t.Errorf("it ended with %v, and does not say what it could not keep", err)
	}
	after := seconds(t, r.data, "v")
	for _, at := range before {
		if !slices.Contains(after, at) {
			t.Errorf("the value of %d is lost", at)
		}
	}
}
