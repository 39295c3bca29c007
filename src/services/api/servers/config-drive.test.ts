/** The files of a config drive, from a server's row to what crosses to the compute agent. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { ServerRow } from '#db/tables/compute.ts';
import { configDriveFiles } from './config-drive.ts';

const USER_DATA = 'openstack/latest/user_data';
// The columns it reads, of some forty.
const row = (columns: Partial<ServerRow>): ServerRow =>
  ({ id: 'a', name: 'web', metadata: '{}', nics: '[]', key_name: null, public_key: null, ...columns }) as ServerRow;

describe('config drive files', () => {
  test('user data that is no text arrives bit for bit', () => {
    const script = gzipSync('#!/bin/sh\necho hello\n');
    const files = configDriveFiles(row({ config_drive: 1, user_data: script.toString('base64') }));
    // As the agent gets it: through JSON.
    const { base64 } = JSON.parse(JSON.stringify(files?.[USER_DATA]));
    assert.deepEqual(Buffer.from(base64, 'base64'), script);
  });

  test('no user data, no file; no drive, no files', () => {
    const files = configDriveFiles(row({ config_drive: 1, user_data: null }));
    assert.ok(files && !(USER_DATA in files) && 'openstack/latest/meta_data.json' in files);
    assert.equal(configDriveFiles(row({ config_drive: 0, user_data: 'AA==' })), null);
  });
});
