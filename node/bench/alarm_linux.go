package bench

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A fileAlarm is a timer that is a file, so that it wakes the runtime as precisely as the
// kernel can: timerfd_create(2).
type fileAlarm struct {
	fd      int
	file    *os.File // of fd
	release func() bool
}

func newAlarm(ctx context.Context) alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newTimerAlarm(ctx)
	}
	a := &fileAlarm{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}
	a.release = context.AfterFunc(ctx, func() { _ = a.file.SetReadDeadline(time.Unix(1, 0)) }) // it fails if the file is closed
	return a
}

func (a *fileAlarm) wait(d time.Duration) bool {
	var count [8]byte
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(a.fd, 0, &spec, nil); err != nil {
		return false // not so: the time is a valid one
	}
	_, err := a.file.Read(count[:])
	return err == nil
}

func (a *fileAlarm) close() {
	a.release()
	_ = a.file.Close() // nothing was written
}
