//go:build !unix

package main

import "syscall"

// ownGroup has no counterpart here: children get a ctrl-C as well.
func ownGroup() *syscall.SysProcAttr { return nil }
