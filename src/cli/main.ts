/** The command line: one file per command, loaded when it is used. It does not repeat the `openstack` command. */
import { Command } from 'commander';

const program = new Command('micronova')
  .description('An OpenStack-compatible compute cloud in one process, with real QEMU guests.')
  .showHelpAfterError();

const data = ['--data <dir>', 'folder of the cloud', process.env.MICRONOVA_DATA ?? './data'] as const;
const config = ['--config <file>', 'TOML file with settings'] as const;

program
  .command('up')
  .description('run the whole cloud in this process until SIGTERM')
  .option('--data <dir>', 'folder of everything the cloud keeps (default: ./data)')
  .option('--listen <host:port>', 'address of the API (default: 127.0.0.1:8774)')
  .option('--driver <name>', 'qemu, or fake for simulated guests')
  .option('--hosts <n>', 'simulate several compute hosts')
  .option(...config)
  .option('--stop-guests', 'at the end stop the guests too; otherwise they run on')
  .action(async (options) => (await import('./up.ts')).up(options));

program
  .command('serve')
  .description('run some roles of a cloud of several processes until SIGTERM')
  .requiredOption('--roles <roles>', 'some of api, conductor, scheduler, compute, with commas')
  .option('--database <url>', 'postgres://…; every role but compute needs it')
  .option('--bus <url>', 'amqp://… or amqps://…')
  .option('--data <dir>', 'folder of everything this process keeps (default: ./data)')
  .option('--listen <host:port>', 'address of the API (default: 127.0.0.1:8774)')
  .option('--driver <name>', 'qemu, or fake for simulated guests')
  .option('--hosts <n>', 'simulate several compute hosts')
  .option(...config)
  .option('--stop-guests', 'at the end stop the guests too; otherwise they run on')
  .action(async (options) => (await import('./up.ts')).serve(options));

program
  .command('demo')
  .description('launch a guest, snapshot it while it runs, boot the snapshot')
  .option('--hosts <n>', 'instead: move guests between that many hosts, as network namespaces (root), and let one die')
  .option('--keep', 'leave the cloud up and say how to reach it')
  .option('--data <dir>', 'folder of the cloud (default: a new one, removed at the end unless --keep)')
  .action(async (options) => {
    if (options.hosts === undefined) return (await import('./demo/demo.ts')).demo(options);
    return (await import('./demo/hosts.ts')).demoOfHosts(Number(options.hosts));
  });

program
  .command('status')
  .description('show hosts, servers, images and what is going on')
  .option(...data)
  .option(...config)
  .action(async (options) => (await import('./status.ts')).status(options));

program
  .command('trace <request-id>')
  .description('draw the way of a request through the services')
  .option(...data)
  .action(async (requestId, options) => (await import('./trace.ts')).trace(requestId, options));

program
  .command('logs')
  .description('show the log lines of all services, merged by time')
  .option('--request <id>', 'only those of one request')
  .option(...data)
  .action(async (options) => (await import('./logs.ts')).logs(options));

const op = program
  .command('op')
  .description('look at operations, cancel them, resume or abandon those that need attention');
op.command('ls')
  .description('list operations, newest first')
  .option('--open', 'only those that have not ended')
  .option(...data)
  .option(...config)
  .action(async (options) => (await import('./op.ts')).list(options));
op.command('show <id>')
  .description('show an operation and its journal')
  .option(...data)
  .option(...config)
  .action(async (id, options) => (await import('./op.ts')).show(id, options));
op.command('cancel <id>')
  .description('end it and undo what it did')
  .option(...data)
  .option(...config)
  .action(async (id, options) => (await import('./op.ts')).cancel(id, options));
op.command('resume <id>')
  .description('try again where it stopped')
  .option(...data)
  .option(...config)
  .action(async (id, options) => (await import('./op.ts')).resume(id, options));
op.command('abandon <id>')
  .description('end it as it is; what it left behind is yours')
  .option(...data)
  .option(...config)
  .action(async (id, options) => (await import('./op.ts')).abandon(id, options));

const host = program.command('host').description('look at compute hosts, take them out of service, empty them');
host
  .command('ls')
  .description('list the hosts and what is used of them')
  .option(...data)
  .action(async (options) => (await import('./host.ts')).list(options));
host
  .command('disable <host>')
  .description('let nothing new come to it; its servers stay')
  .option('--reason <text>', 'why, for whoever looks')
  .option(...data)
  .action(async (name, options) => (await import('./host.ts')).disable(name, options));
host
  .command('enable <host>')
  .description('put it into service again')
  .option(...data)
  .action(async (name, options) => (await import('./host.ts')).enable(name, options));
host
  .command('drain <host>')
  .description('disable it and move its servers away, one after the other; run again, it goes on')
  .option('--reason <text>', 'why, for whoever looks')
  .option(...data)
  .action(async (name, options) => (await import('./host.ts')).drain(name, options));
host
  .command('down <host>')
  .description('say that it is dead, whatever its agent says')
  .option(...data)
  .action(async (name, options) => (await import('./host.ts')).down(name, options));
host
  .command('up <host>')
  .description('believe its agent again')
  .option(...data)
  .action(async (name, options) => (await import('./host.ts')).up(name, options));

const image = program.command('image').description('bring images into the cloud');
image
  .command('add <file>')
  .description('upload a file with a progress bar')
  .option('--name <name>', 'name of the image (default: the file’s)')
  .option('--format <format>', 'disk format (default: what the file is)')
  .option('--public', 'let every project use it')
  .option(...data)
  .action(async (file, options) => (await import('./image.ts')).add(file, options));
image
  .command('fetch <name>')
  .description('download a well-known image, check its hash, and upload it')
  .option('--public', 'let every project use it')
  .option(...data)
  .action(async (name, options) => (await import('./image.ts')).fetchKnown(name, options));

program
  .command('cert <name>')
  .description('make a key and a certificate, and an authority for it where there is none yet (needs openssl)')
  .requiredOption('--address <address...>', 'addresses and names by which it is reached')
  .option('--owner <user>', 'system user whose program shows it; its key is readable to nobody else')
  .option('--folder <dir>', 'where they are kept', '/etc/micronova/tls')
  .option('--renew', 'make another where there is one already')
  .action(async (name, options) => (await import('./cert.ts')).cert(name, options));

program
  .command('backup <dir>')
  .description('write the whole cloud into a new folder, while it runs')
  .option(...data)
  .option(...config)
  .action(async (dir, options) => (await import('./backup.ts')).backup(dir, options));
program
  .command('restore <dir>')
  .description('make a cloud of a backup, where there is none yet')
  .option(...data)
  .option(...config)
  .action(async (dir, options) => (await import('./restore.ts')).restore(dir, options));

program
  .command('doctor')
  .description('say what works on this machine and what does not')
  .option(...data)
  .option(...config)
  .action(async (options) => (await import('./doctor.ts')).doctor(options));

try {
  await program.parseAsync();
} catch (error) {
  // The machine's own refusals (address in use, no permission, disk full) say enough without a stack.
  const known =
    error instanceof Error && (['CloudError', 'ConfigError', 'CommandError'].includes(error.name) || 'errno' in error);
  process.stderr.write(
    known ? `micronova: ${(error as Error).message}\n` : `micronova: ${(error as Error)?.stack ?? error}\n`,
  );
  process.exitCode = 1;
}
