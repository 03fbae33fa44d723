//go:build unix

package main

import "syscall"

// ownGroup keeps a terminal's ctrl-C from a child: its parent stops it in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
