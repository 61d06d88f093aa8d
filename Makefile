# SPDX-License-Identifier: GPL-2.0
# MMU notifiers for Linux. "make help" lists the commands; each is a script in bin/.

.PHONY: help run test tree apply branch patches check kernel mutants users bench contention configs hosts soak clean
help:
	@echo 'make run              build the patched kernel, boot it, swap a KVM guest out and back'
	@echo 'make test             KUnit and self-tests under QEMU; the kernel'"'"'s own, against stock'
	@echo 'make check            everything that needs no boot'
	@echo 'make mutants          breaks each hook in turn; all has to be noticed (SITE=name: some)'
	@echo 'make users            every in-tree user compiles as it does in the stock kernel'
	@echo 'make bench            none, stock, ours side by side: build/bench.md, .json, .svg'
	@echo 'make contention       what two CPUs cost each other in one mm, stock and ours'
	@echo 'make configs          the KUnit suites with PREEMPT, with PREEMPT_RT, with KCSAN'
	@echo 'make hosts            XPMEM between two guests: swapped out, delayed, lost, killed'
	@echo 'make soak             the random tests for longer, with KASAN (MINUTES=20, SEED=n)'
	@echo 'make tree             the patched tree alone, in build/tree'
	@echo 'make apply TREE=dir   the same to a kernel tree of your own'
	@echo 'make branch TREE=dir  the same as a git branch, one commit a patch (BRANCH=name)'
	@echo 'make patches          what series names in build/patches, for quilt'
	@echo 'make clean            remove build/'
	@echo
	@echo 'BASE=6.12.N           a point release of linux-source-6.12 (default: the newest tried)'
	@echo 'KSRC=dir|tarball      a base of your own in place of the linux-source-6.12 package'
	@echo 'ACCEL=kvm             let QEMU use /dev/kvm (default: tcg)'
	@echo 'GUEST_MIB=256         the memory of the guest in make run'
	@echo 'KTREE=dir KOUT=dir    test a patched tree of your own, built in KOUT'

export KSRC BASE ACCEL GUEST_MIB KTREE KOUT

run test tree patches check kernel users bench contention configs hosts soak:
	@bin/$@

mutants:
	@bin/mutants $(SITE)

apply:
	@bin/apply "$(TREE)"

branch:
	@bin/branch "$(TREE)" $(BRANCH)

clean:
	rm -rf build
