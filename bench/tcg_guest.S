/*
 * tcg_guest.S - the guest that bench/walk runs under QEMU's TCG: long mode,
 * 64 MiB mapped by 4 KiB pages, and loops over the same random addresses that
 * bench/walk gives the emulated CPU.
 *
 * A multiboot kernel. It answers on the first serial port: for each byte it
 * gets it runs PASSES times over one list of offsets and sends the sum of what
 * it loaded, 8 bytes.
 *
 *	'L' 'N'		64 MiB at random, with the load and without
 *	'R'		'L', with CR3 written before each pass
 *	'l' 'n'		the same within 32 KiB, which a TLB holds
 *
 * Physical memory: 2M tables, 4M and 5M the lists, 16M the data, every byte of
 * it 1. Below 16M linear is physical, by 2 MiB pages; the data is at 1G.
 */
#define TABLES		0x200000
#define PML4		TABLES
#define PDPT		(TABLES + 0x1000)
#define PD_LOW		(TABLES + 0x2000)
#define PD_DATA		(TABLES + 0x3000)
#define PT_DATA		(TABLES + 0x4000)
#define LIST		0x400000
#define LIST_NEAR	0x500000
#define STACK		0x700000
#define DATA		0x1000000
#define DATA_VA		0x40000000

#define REGION		(64 << 20)
#define NEAR		(32 << 10)
#define STREAM		(1 << 17)
#define PASSES		4

#define PORT		0x3f8
#define LINE_STATUS	(PORT + 5)

	.text
	.code32
	.balign	4
	.long	0x1badb002, 0, -0x1badb002	/* multiboot */

/* A table's entries, each so much above the one before */
	.macro	fill table, entry, step, n
	movl	$\table, %edi
	movl	$(\entry), %eax
	movl	$(\n), %ecx
1:	movl	%eax, (%edi)
	addl	$\step, %eax
	addl	$8, %edi
	loop	1b
	.endm

	.globl	_start
_start:
	cli
	cld
	xorl	%eax, %eax
	movl	$TABLES, %edi
	movl	$(0x24000 / 4), %ecx
	rep stosl
	movl	$(PDPT | 3), PML4
	movl	$(PD_LOW | 3), PDPT
	movl	$(PD_DATA | 3), PDPT + 8
	/* 16 MiB as they are, by 2 MiB pages */
	fill	PD_LOW, 0x83, 0x200000, 8
	/* 32 tables, and their 16384 pages */
	fill	PD_DATA, PT_DATA | 3, 0x1000, REGION >> 21
	fill	PT_DATA, DATA | 3, 0x1000, REGION >> 12

	movl	$0x20, %eax		/* CR4.PAE */
	movl	%eax, %cr4
	movl	$PML4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	/* EFER.LME */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$0x80010000, %eax	/* PG, WP */
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$8, $long_mode

	.balign	8
gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.code64
long_mode:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$STACK, %esp
	movl	$DATA_VA, %edi
	movb	$1, %al
	movl	$REGION, %ecx
	rep stosb
	/* as random64() of bench/walk.c does */
	movabsq	$88172645463325252, %rax
	movl	$LIST, %edi
	movl	$(REGION - 8), %r8d
	call	fill
	movl	$LIST_NEAR, %edi
	movl	$(NEAR - 8), %r8d
	call	fill

command:
	movl	$LINE_STATUS, %edx
4:	pause
	inb	%dx, %al
	testb	$1, %al
	jz	4b
	movl	$PORT, %edx
	inb	%dx, %al
	movl	$LIST, %ebx
	testb	$0x20, %al		/* a small letter */
	jz	5f
	movl	$LIST_NEAR, %ebx
5:	andb	$0xdf, %al
	xorl	%esi, %esi
	movl	$PASSES, %ebp
	cmpb	$'R', %al
	sete	%r9b
	je	with
	cmpb	$'L', %al
	je	with
	cmpb	$'N', %al
	je	without
	jmp	command

with:
	movl	$DATA_VA, %edx
6:	testb	%r9b, %r9b
	jz	12f
	movq	%cr3, %rax
	movq	%rax, %cr3
12:	xorl	%ecx, %ecx
7:	movl	(%rbx,%rcx,4), %eax
	addq	(%rdx,%rax), %rsi
	incl	%ecx
	cmpl	$STREAM, %ecx
	jne	7b
	decl	%ebp
	jnz	6b
	jmp	answer

without:
	movl	$DATA_VA, %edx
8:	xorl	%ecx, %ecx
9:	movl	(%rbx,%rcx,4), %eax
	addq	%rax, %rsi
	incl	%ecx
	cmpl	$STREAM, %ecx
	jne	9b
	decl	%ebp
	jnz	8b

answer:
	movl	$8, %ecx
10:	movl	$LINE_STATUS, %edx
	inb	%dx, %al
	testb	$0x20, %al
	jz	10b
	movl	$PORT, %edx
	movl	%esi, %eax
	outb	%al, %dx
	shrq	$8, %rsi
	loop	10b
	jmp	command

/* STREAM offsets under mask %r8 to %rdi; %rax is the generator's state. */
fill:
	movl	$STREAM, %ecx
11:	movq	%rax, %rdx
	shlq	$13, %rdx
	xorq	%rdx, %rax
	movq	%rax, %rdx
	shrq	$7, %rdx
	xorq	%rdx, %rax
	movq	%rax, %rdx
	shlq	$17, %rdx
	xorq	%rdx, %rax
	movl	%eax, %edx
	andl	%r8d, %edx
	movl	%edx, (%rdi)
	addq	$4, %rdi
	loop	11b
	ret

	.section .note.GNU-stack, "", @progbits
