/**
 * `effect-deployer/store`: the store of releases, its tables and its tarballs.
 */

export {
  type Parcel,
  ReleaseAmbiguous,
  type ReleaseDraft,
  ReleaseNotFound,
  type ReleaseQuery,
  ReleaseStore,
  ReleaseStoreError,
  type StoreCheck,
  type StoreFailure,
  TarballDamaged,
  TarballMissing
} from "./store/ReleaseStore.ts"
export { type Opened, type Received, Tarballs, TarballsError } from "./store/Tarballs.ts"
