package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/backup"
	"corbie/storage/remote"
	"corbie/storage/series"
)

func (p *program) backupCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy the data folder to DIR, beside a running master",
		Long: `backup copies samples, rollups, catalogue and the state of notices to a folder, also
while the master runs. With "storage: remote" samples are in the engine, which needs
a backup of its own; what waits for it is copied. The next backup to the same folder copies only what is
new. One that is interrupted leaves the one before as it was.

Where DIR is on the same file system, files that never change (finished blocks of
samples, hours and days) are hard links and take no room as long as the master
has them; all others are copied. Such a backup helps against mistakes and bad
upgrades, not against the loss of the disk: put another one on another disk.

Run it as the user of the master.`,
		Example: `  corbie backup /srv/backup/corbie
  corbie backup --check /srv/backup/corbie`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check {
				return p.checkBackup(cmd.Context(), args[0])
			}
			return p.backup(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "read the backup in DIR and say whether it is whole; nothing is copied")
	return cmd
}

func (p *program) restoreCommand() *cobra.Command {
	var blocks []string
	var leaveOut bool
	cmd := &cobra.Command{
		Use:   "restore DIR",
		Short: "Put a backup into an empty data folder, or one block of it in place of a damaged one",
		Long: `restore reads the whole backup in DIR and compares it with its checksums; only when
all of it is good it writes the data folder, which must be empty or not exist.

Where a backup is damaged itself and there is no other, --leave-out-damaged brings
back all but what is damaged, and says what that is.

With --block it brings back single blocks of a data folder that is in use otherwise:
those that 'corbie verify' or the log call damaged, by their paths, and those in
raw/quarantine as raw/NAME. Each is read and checked in the backup first; it is
refused where the block in place is whole, or where the master has put what is in it
into another one since. The damaged block is moved to set-aside.

Stop the master first, and run this as its user. With "storage: remote" samples are
in the engine; what waited for it when the backup was made is sent to it after the
start. It may have some of that already, which changes nothing.`,
		Example: `  systemctl stop corbie
  mv /var/lib/corbie /var/lib/corbie.old
  corbie restore /srv/backup/corbie

  corbie restore --block raw/01JA2B3C4D5E6F7G8H9JKMNPQR /srv/backup/corbie`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(blocks) > 0 && leaveOut {
				return usageError{errors.New("--block brings back one block, --leave-out-damaged all of a backup that is good: choose one")}
			}
			if len(blocks) > 0 {
				return p.restoreBlocks(cmd.Context(), args[0], blocks)
			}
			return p.restore(cmd.Context(), args[0], leaveOut)
		},
	}
	cmd.Flags().BoolVar(&leaveOut, "leave-out-damaged", false, "bring back what is good of a backup that is damaged")
	cmd.Flags().StringSliceVar(&blocks, "block", nil, "bring back only this block of the data folder, such as raw/01JA2B3C4D5E6F7G8H9JKMNPQR; may be given several times")
	return cmd
}

// restoreBlocks brings back blocks one by one; the first that cannot be ends it.
func (p *program) restoreBlocks(ctx context.Context, dir string, blocks []string) (err error) {
	data, err := p.findData()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(data, catalogFile)); err != nil {
		return fmt.Errorf("%s: no data of a master there; name its folder with --data: %w", data, err)
	}
	if err := checkOwner(data); err != nil {
		return err
	}
	release, err := storage.Lock(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	for _, block := range blocks {
		progress := newProgress(p.stderr)
		r, err := backup.RestoreBlock(ctx, dir, data, block, progress.add)
		progress.end()
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s is back as of %s: %s to %s, %s\n", block, r.Made.Local().Format(time.DateTime),
			r.From.Local().Format(time.DateTime), r.To.Local().Format(time.DateTime), size(r.Bytes))
		if r.Aside != "" {
			fmt.Fprintf(p.stdout, "  the damaged one is in %s: delete it when nobody wants to look at it\n", r.Aside)
		}
		if old := filepath.Join(data, "raw", series.QuarantineDir, filepath.Base(block)); exists(old) {
			fmt.Fprintf(p.stdout, "  the damaged one is in %s: delete it when nobody wants to look at it\n", old)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// findData is the data folder of the flags or the configuration.
func (p *program) findData() (string, error) {
	if p.dataDir != "" {
		return p.dataDir, nil
	}
	conf, err := p.loadConfig(config.Flags{Tolerant: true})
	if err != nil {
		return "", err
	}
	return p.dataFolder(conf), nil
}

func (p *program) backup(ctx context.Context, dir string) error {
	data, err := p.findData()
	if err != nil {
		return err
	}
	progress := newProgress(p.stderr)
	result, err := backup.Make(ctx, data, dir, progress.add)
	progress.end()
	if err != nil {
		return err
	}
	linked := ""
	if result.Linked > 0 {
		linked = ", of which " + size(result.Linked) + " are links that take no room yet"
	}
	fmt.Fprintf(p.stdout, "%s: %d files, %s; %s of it new%s\n", dir, result.Files, size(result.Bytes), size(result.New), linked)
	p.elsewhere(result)
	return nil
}

func (p *program) checkBackup(ctx context.Context, dir string) error {
	progress := newProgress(p.stderr)
	result, err := backup.Check(ctx, dir, progress.add)
	progress.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s is whole: %d files, %s, made %s\n", dir, result.Files, size(result.Bytes), result.Made.Local().Format(time.DateTime))
	p.elsewhere(result)
	return nil
}

// elsewhere says plainly that a backup holds no samples, and where they are.
func (p *program) elsewhere(result backup.Result) {
	if result.Samples {
		return
	}
	where, how := "the remote engine", ""
	if conf, err := p.loadConfig(config.Flags{Tolerant: true}); err == nil && conf.Elsewhere {
		target := remoteOptions(conf, nil).Target
		where = fmt.Sprintf("%s at %s", target.Engine, target.Read)
		how = map[remote.Engine]string{
			remote.VictoriaMetrics: " (vmbackup, or a snapshot: " + target.Read + "/snapshot/create)",
			remote.Prometheus:      " (with --web.enable-admin-api: curl -X POST " + target.Read + "/api/v1/admin/tsdb/snapshot)",
		}[target.Engine]
		if how == "" {
			how = " (the bucket of its object storage)"
		}
	}
	fmt.Fprintf(p.stdout, "Samples are not in it: %s keeps them and needs a backup of its own%s. What waits for it, %s, is in it.\n", where, how, size(result.Queued))
}

func (p *program) restore(ctx context.Context, dir string, leaveOut bool) error {
	data, err := p.findData()
	if err != nil {
		return err
	}
	if err := checkOwner(data); err != nil {
		return err
	}
	progress := newProgress(p.stderr)
	var result backup.Result
	var lost []string
	if leaveOut {
		result, lost, err = backup.RestoreGood(ctx, dir, data, progress.add)
	} else {
		result, err = backup.Restore(ctx, dir, data, progress.add)
	}
	progress.end()
	if errors.Is(err, backup.ErrDamaged) {
		return fmt.Errorf("%w\nwhere there is no other backup, --leave-out-damaged brings back the rest", err)
	}
	if err != nil {
		return err
	}
	for _, what := range lost {
		fmt.Fprintf(p.stderr, "left out, as it is damaged: %s\n", what)
	}
	fmt.Fprintf(p.stdout, "%s is restored as of %s: %d files, %s\n", data, result.Made.Local().Format(time.DateTime), result.Files, size(result.Bytes))
	if !result.Samples {
		fmt.Fprintf(p.stdout, "Samples are in the remote engine. After the start %s that waited for it are sent; labels of remote in corbie.yml must be as they were.\n",
			size(result.Queued))
	}
	return nil
}

func size(bytes int64) string { return munin.FormatValue(float64(bytes), 1024) + "B" }

// progress shows on a terminal how far long work is, about four times a second.
type progress struct {
	w     io.Writer // nil: not a terminal
	done  int64
	whole int64 // 0: not known
	shown time.Time
}

func newProgress(w io.Writer) *progress {
	if !isTerminal(w) {
		return &progress{}
	}
	return &progress{w: w}
}

func (p *progress) add(n int64) {
	p.done += n
	p.tell(func() string {
		if p.whole > 0 {
			return size(p.done) + " of " + size(p.whole)
		}
		return size(p.done)
	})
}

// of says how many of how many are done.
func (p *progress) of(done, all int, what string) {
	p.tell(func() string { return fmt.Sprintf("%d of %d %s", done, all, what) })
}

func (p *progress) tell(text func() string) {
	if p.w != nil && time.Since(p.shown) > 250*time.Millisecond {
		p.shown = time.Now()
		fmt.Fprintf(p.w, "\r%s \x1b[K", text())
	}
}

func (p *progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
