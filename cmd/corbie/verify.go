package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"corbie/alerts/route"
	"corbie/master/jobs"
	"corbie/storage"
	"corbie/storage/catalog"
	"corbie/storage/remote"
)

// queueFolder is where samples wait for a remote storage engine, in the data folder.
const queueFolder = "queue"

func (p *program) verifyCommand() *cobra.Command {
	var rate int64
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read all of the data folder and say what is damaged",
		Long: `verify reads every block of samples, hours, days and imported history with all
their checksums, the catalogue, the log of notices, the silences and the queue of a
remote storage engine. It names what is damaged, the time and the series that it
touches, and what to do. It changes nothing, and runs beside a master, with a low
priority and in constant memory. The master does the same each week by itself.

It ends with 0 when all is good and with 1 when something is damaged.`,
		Example: `  corbie verify
  corbie verify --data /var/lib/corbie.old --rate 10`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rate < 0 {
				return usageError{fmt.Errorf("--rate %d: want MB a second, 0 for no limit", rate)}
			}
			return p.verify(cmd.Context(), rate<<20)
		},
	}
	cmd.Flags().Int64Var(&rate, "rate", 0, "read at most so many MB a second; 0 is no limit")
	return cmd
}

func (p *program) verify(ctx context.Context, rate int64) error {
	dir, err := p.findData()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, catalogFile)); err != nil {
		return fmt.Errorf("%s: no data of a master there; name its folder with --data: %w", dir, err)
	}
	progress := newProgress(p.stderr)
	if progress.whole, err = storage.BlockBytes(dir); err != nil {
		return err
	}
	found, err := verifyBlocks(ctx, dir, rate, progress.add)
	progress.end()
	if err != nil {
		return err
	}
	damaged := len(found.Faults)
	for i := range found.Faults {
		fmt.Fprint(p.stdout, faultText(&found.Faults[i]))
	}
	for _, part := range verifyRest(ctx, dir) {
		damaged++
		fmt.Fprintln(p.stdout, part)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Fprintf(p.stdout, "%s: %s, %s read in %s\n", dir, plural(found.Blocks, "block", "blocks"), size(found.Bytes),
		found.Ended.Sub(found.Began).Round(time.Millisecond))
	if damaged > 0 {
		return errors.New(plural(damaged, "part is", "parts are") + " damaged")
	}
	return nil
}

// verifyRest says what is wrong beside the blocks.
func verifyRest(ctx context.Context, dir string) []string {
	var wrong []string
	if err := catalog.Check(ctx, filepath.Join(dir, catalogFile)); err != nil {
		wrong = append(wrong, fmt.Sprintf("%s: %s\n  do: stop the master, put the %s of a backup there (corbie restore to another folder), start it", catalogFile, err, catalogFile))
	}
	if err := route.Verify(filepath.Join(dir, alertsFolder)); err != nil {
		wrong = append(wrong, fmt.Sprintf("%s: %s\n  do: nothing, or put the folder of a backup there while the master is stopped", alertsFolder, err))
	}
	if err := remote.VerifyQueue(ctx, filepath.Join(dir, queueFolder)); err != nil {
		wrong = append(wrong, fmt.Sprintf("%s: %s\n  do: look at the disk; nodes with a spool are asked again for what the engine lacks", queueFolder, err))
	}
	return wrong
}

// faultText is a damaged block for people: what, when, whose, and what to do.
func faultText(f *storage.Fault) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", f.Path, f.Reason)
	if f.Span.To != 0 {
		fmt.Fprintf(&b, "  time: %s to %s\n", time.UnixMilli(f.Span.From).Format(time.DateTime), time.UnixMilli(f.Span.To).Format(time.DateTime))
	}
	if f.Count == 0 {
		b.WriteString("  series: all of the block\n")
	} else {
		more := ""
		if f.Count > len(f.Series) {
			more = ", …"
		}
		fmt.Fprintf(&b, "  series: %d: %s%s\n", f.Count, strings.Join(f.Series, ", "), more)
	}
	fmt.Fprintf(&b, "  do: %s\n", adviceOn(f))
	return b.String()
}

func adviceOn(f *storage.Fault) string {
	restore := "stop the master, corbie restore --block " + f.Path + " DIR-OF-BACKUP, start it"
	switch kind, _, _ := strings.Cut(f.Path, "/"); kind {
	case "hour", "day":
		return "the master makes it again by itself while the samples are there; else " + restore
	case "imported":
		return restore + ", or delete the folder and run corbie import munin again"
	}
	return restore
}

// behindOthers runs long work on a thread of its own, which the processor and the disk serve after all others.
func behindOthers(do func() error) error {
	const (
		niceness  = 10
		ofProcess = 1       // IOPRIO_WHO_PROCESS: here, a thread
		whenIdle  = 3 << 13 // IOPRIO_CLASS_IDLE
	)
	done := make(chan error, 1)
	go func() {
		// It is not unlocked: the thread ends with this function, and nothing else ever runs on it.
		runtime.LockOSThread()
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness)
		_, _, _ = syscall.Syscall(syscall.SYS_IOPRIO_SET, ofProcess, 0, whenIdle)
		done <- do()
	}()
	return <-done
}

// verifyBlocks reads all blocks of a data folder behind all other work, so many bytes a second at most.
func verifyBlocks(ctx context.Context, dir string, rate int64, progress func(n int64)) (found storage.Verified, err error) {
	pace := newPacer(rate)
	err = behindOthers(func() error {
		found, err = storage.Verify(ctx, dir, func(n int) error {
			progress(int64(n))
			return pace.wait(ctx, n)
		})
		return err
	})
	return found, err
}

// pacer keeps reading to a rate.
type pacer struct {
	rate  int64 // bytes a second; 0: as fast as may be
	began time.Time
	done  int64
}

func newPacer(rate int64) *pacer { return &pacer{rate: rate, began: time.Now()} }

// wait waits until so many bytes more may have been read.
func (p *pacer) wait(ctx context.Context, n int) error {
	if p.done += int64(n); p.rate == 0 {
		return ctx.Err()
	}
	due := p.began.Add(time.Duration(float64(p.done) / float64(p.rate) * float64(time.Second)))
	ahead := time.Until(due)
	if ahead <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// verifySchedule is when the master reads all of its blocks.
const verifySchedule = "17 1 * * 0"

// verifyRate is how many bytes a second it reads at most: a terabyte in less than a day, and no disk is kept from other work.
const verifyRate = 20 << 20

// verifyJob reads all blocks, and has those of hours and days made again that are damaged.
func (a *app) verifyJob(dir string) (jobs.Job, error) {
	schedule, err := jobs.ParseSchedule(verifySchedule)
	return jobs.Job{Name: "verify", Schedule: schedule, Do: func(ctx context.Context) error { return a.verify(ctx, dir, verifyRate) }}, err
}

func (a *app) verify(ctx context.Context, dir string, rate int64) error {
	found, err := verifyBlocks(ctx, dir, rate, func(int64) {})
	if err != nil {
		return err
	}
	for i := range found.Faults {
		f := &found.Faults[i]
		a.log.Error("a block is damaged", "block", f.Path, "reason", f.Reason, "from", time.UnixMilli(f.Span.From), "to", time.UnixMilli(f.Span.To),
			"series", f.Series, "do", adviceOn(f))
	}
	if len(found.Faults) > 0 {
		dropped, err := a.samples.embedded.DropDamaged(found.Faults)
		for i := range dropped {
			a.log.Info("a damaged block of hours or days was deleted; it is made again", "block", dropped[i].Path)
		}
		if err == nil && len(dropped) > 0 {
			err = a.rollUp(ctx)
		}
		if err != nil {
			return errors.Join(err, found.Save(dir))
		}
	}
	a.log.Info("the data folder was verified", "blocks", found.Blocks, "mb", found.Bytes>>20, "damaged", len(found.Faults),
		"took", found.Ended.Sub(found.Began).Round(time.Second))
	return found.Save(dir)
}
